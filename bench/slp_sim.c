/* slp_sim.c - policies on recorded outputs and on made-up ones, no model needed.
 *
 *     slp_sim --replay FILE.jsonl[.gz]... --vocab FILE.gguf|FILE.tiktoken[.gz]
 *             [--drafter ngram|suffix] [--curve target|olmoe-bytes|ik|llama.cpp|dense|FILE.csv]
 *             [--policy P[,P...]] [-o md|csv|json|html] [--seed N] [--noise R] [--tail R]
 *             [--draft-max N] [--no-prior] [--requests N]
 *     slp_sim --routing META.jsonl[.gz] IDS.u8[.gz] [--layers N] [--slots N]
 *             [--expert-share R] [the options above but --vocab, --curve, --requests]
 *     slp_sim --synthetic N [--seed S]
 *
 * What is simulated and what the columns mean: docs/policy.md, sections 6 and 10. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "sim_batch.h"
#include "sim_report.h"
#include "sim_routing.h"
#include "sim_synthetic.h"

enum { POLICIES_MAX = 32, FILES_MAX = 64 };

static const char usage[] =
    "usage: slp_sim --replay FILE.jsonl[.gz]... --vocab FILE.gguf|FILE.tiktoken[.gz]\n"
    "               [--drafter ngram|suffix] [--curve NAME|FILE.csv]\n"
    "               [--policy P[,P...]]\n"
    "               [-o md|csv|json|html] [--seed N] [--noise R] [--tail R] [--draft-max N]\n"
    "               [--no-prior] [--requests N]\n"
    "       slp_sim --routing META.jsonl[.gz] IDS.u8[.gz] [--layers N] [--slots N]\n"
    "               [--expert-share R] [options as above but --vocab, --curve, --requests]\n"
    "       slp_sim --synthetic N [--seed S]\n"
    "\n"
    "  --replay      recorded outputs: JSON lines with task, prompt, output\n"
    "  --vocab       what they are tokenised with\n"
    "  --drafter     ngram: the latest continuation of the longest match of at most 5 tokens\n"
    "                (default); suffix: the most frequent one, of any length\n"
    "  --curve       cost of a pass by rows: target (default), olmoe-bytes, ik, llama.cpp,\n"
    "                dense, or rows,time lines\n"
    "  --policy      default off,static:1 .. static:8,cascade,ledger; P@M ignores drafts that\n"
    "                rest on fewer than M tokens\n"
    "  --noise       of pass times, relative standard deviation (0.05)\n"
    "  --tail        share of passes that take three times as long (0)\n"
    "  --draft-max   most rows that ledger verifies, 1 .. 16 (15)\n"
    "  --no-prior    every request under ledger begins with no knowledge of earlier ones\n"
    "  --requests    run N at once in one pass, 1 .. 16, and compare plain decoding, rows as each\n"
    "                request decides alone, and under ledger rows chosen among all their drafts,\n"
    "                with and without the bound on what each may lose (-o md, csv or json)\n"
    "  --routing     recorded outputs with the experts of each token ([token][layer][slot]); a\n"
    "                pass costs what it reads: 1 + share (experts / experts of one row - 1) +\n"
    "                0.02 per drafted row. Experts of rejected tokens were not recorded: a mean\n"
    "  --layers      of the routes (24), --slots experts per token and layer (4)\n"
    "  --expert-share  of a plain iteration's time (0.7)\n"
    "  --synthetic   check the ledger's bound on N made-up requests, hostile ones among them;\n"
    "                exit status 1 if it is ever broken\n";

typedef struct options {
    const char *replay[FILES_MAX];
    int n_replay;
    const char *vocab, *curve, *policies;
    const char *routing_meta, *routing_ids;
    sim_routing_shape shape;
    double expert_share;
    sim_format format;
    sim_noise noise;
    sim_drafter drafter;
    int32_t draft_max;
    int32_t requests; /* in one pass; 0: every request runs by itself */
    bool no_prior;
    uint64_t synthetic;
} options;

/* ---- options ------------------------------------------------------------------------ */

static bool take_number(const char *text, double min, double max, double *value) {
    char *end;
    *value = strtod(text, &end);
    return end != text && *end == '\0' && *value >= min && *value <= max;
}

static bool take_format(const char *text, sim_format *format) {
    static const char *const names[] = {"md", "csv", "json", "html"};
    for (size_t i = 0; i < SL_COUNT(names); i++)
        if (strcmp(text, names[i]) == 0) {
            *format = (sim_format)i;
            return true;
        }
    return false;
}

/* An option with a value: false if the name is unknown or the value is wrong. */
static bool take_option(options *o, const char *name, const char *value) {
    double x = 0;
    bool good = true;
    if (strcmp(name, "--vocab") == 0) {
        o->vocab = value;
    } else if (strcmp(name, "--curve") == 0) {
        o->curve = value;
    } else if (strcmp(name, "--policy") == 0) {
        o->policies = value;
    } else if (strcmp(name, "--drafter") == 0) {
        o->drafter = strcmp(value, "suffix") == 0 ? SIM_SUFFIX : SIM_NGRAM;
        good = o->drafter == SIM_SUFFIX || strcmp(value, "ngram") == 0 ||
               strcmp(value, "ngram-simple") == 0;
    } else if (strcmp(name, "-o") == 0) {
        good = take_format(value, &o->format);
    } else if (strcmp(name, "--seed") == 0) {
        good = take_number(value, 0, 1e15, &x);
        o->noise.seed = (uint64_t)x;
    } else if (strcmp(name, "--noise") == 0) {
        good = take_number(value, 0, 0.3, &o->noise.relative);
    } else if (strcmp(name, "--tail") == 0) {
        good = take_number(value, 0, 1, &o->noise.tail);
    } else if (strcmp(name, "--expert-share") == 0) {
        good = take_number(value, 0, 1, &o->expert_share);
    } else if (strcmp(name, "--layers") == 0) {
        good = take_number(value, 1, 1024, &x);
        o->shape.layers = (int32_t)x;
    } else if (strcmp(name, "--slots") == 0) {
        good = take_number(value, 1, 64, &x);
        o->shape.slots = (int32_t)x;
    } else if (strcmp(name, "--draft-max") == 0) {
        good = take_number(value, 1, SIM_DRAFT_MAX, &x);
        o->draft_max = (int32_t)x;
    } else if (strcmp(name, "--requests") == 0) {
        good = take_number(value, 1, SIM_BATCH_MAX, &x);
        o->requests = (int32_t)x;
    } else if (strcmp(name, "--synthetic") == 0) {
        good = take_number(value, 1, 1e9, &x);
        o->synthetic = (uint64_t)x;
    } else {
        good = false;
    }
    return good;
}

static bool parse(int argc, char **argv, options *o) {
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--no-prior") == 0) {
            o->no_prior = true;
        } else if (i + 1 == argc) {
            fprintf(stderr, "slp_sim: %s: unknown, or its value is missing\n", argv[i]);
            return false;
        } else if (strcmp(argv[i], "--replay") == 0) {
            while (i + 1 < argc && argv[i + 1][0] != '-' && o->n_replay < FILES_MAX)
                o->replay[o->n_replay++] = argv[++i];
        } else if (strcmp(argv[i], "--routing") == 0 && i + 2 < argc) {
            o->routing_meta = argv[++i];
            o->routing_ids = argv[++i];
        } else if (!take_option(o, argv[i], argv[i + 1])) {
            fprintf(stderr, "slp_sim: %s %s: not understood\n", argv[i], argv[i + 1]);
            return false;
        } else {
            i++;
        }
    }
    if (o->requests > 0 && (o->routing_meta || o->format == SIM_HTML)) {
        fprintf(stderr, "slp_sim: --requests: not with --routing or -o html\n");
        return false;
    }
    return o->synthetic > 0 || o->routing_meta || (o->n_replay > 0 && o->vocab);
}

static int parse_policies(const options *o, sim_policy *policies, sl_error *err) {
    char text[POLICIES_MAX * SIM_POLICY_NAME_MAX];
    int n = 0;
    if (strlen(o->policies) >= sizeof text) {
        (void)sl__fail(err, SL_E_ARG, 0, "--policy is too long");
        return 0;
    }
    memcpy(text, o->policies, strlen(o->policies) + 1);
    for (char *save = NULL, *name = strtok_r(text, ",", &save); name;
         name = strtok_r(NULL, ",", &save)) {
        if (n == POLICIES_MAX) {
            (void)sl__fail(err, SL_E_ARG, 0, "more than %d policies", POLICIES_MAX);
            return 0;
        }
        if (sim_policy_parse(&policies[n++], name, o->draft_max, err) != SL_OK) return 0;
    }
    if (n == 0) (void)sl__fail(err, SL_E_ARG, 0, "--policy names none");
    return n;
}

/* ---- recorded ------------------------------------------------------------------------ */

static void run_request(sim_report *report, size_t i, const sim_curve *curve, const options *o,
                        slp_prior *const *priors) {
    sim_request_result *r = &report->requests[i];
    for (int p = 0; p < report->n_policies; p++)
        r->policy[p] = sim_run(&report->policies[p], r->request, curve, &o->noise, i, priors[p]);
    for (int m = 0; m < SIM_BEST_MATCH; m++)
        for (int32_t k = 0; k <= SIM_BEST_K; k++)
            r->fixed[m][k] = sim_static_time(r->request, curve, k, m + 1);
    r->best_k = r->fixed[0][0];
    for (int32_t k = 1; k <= SIM_BEST_K; k++)
        if (r->fixed[0][k] < r->best_k) r->best_k = r->fixed[0][k];
    r->oracle = sim_oracle_time(r->request, curve, o->draft_max);
}

static sl_status run_recorded(const options *o, sim_recordings *recordings, sl_error *err) {
    static union {
        uint64_t align;
        char bytes[SLP_PRIOR_BYTES_MAX];
    } memory[POLICIES_MAX];
    static sim_policy policies[POLICIES_MAX];
    slp_prior *priors[POLICIES_MAX];
    sim_curve curve;
    sim_report report = {.curve = o->curve, .policies = policies};
    report.n_policies = parse_policies(o, policies, err);
    if (report.n_policies == 0) return SL_E_ARG;
    sl_status status = sim_curve_open(&curve, o->curve, err);
    if (status != SL_OK) return status;
    curve.expert_share = o->expert_share;
    curve.row_cost = 0.02;
    if (o->routing_meta) report.curve = "by experts";
    for (int p = 0; p < report.n_policies; p++)
        priors[p] = o->no_prior ? NULL : slp_prior_init(memory[p].bytes, sizeof memory[p].bytes);
    report.n = recordings->n;
    report.requests = calloc(report.n + 1, sizeof(*report.requests));
    sim_result *results = calloc(report.n * (size_t)report.n_policies + 1, sizeof(*results));
    if (report.requests && results) {
        sim_recordings_shuffle(recordings, o->noise.seed);
        for (size_t i = 0; i < report.n; i++) {
            report.requests[i].request = &recordings->requests[i];
            report.requests[i].policy = results + i * (size_t)report.n_policies;
            run_request(&report, i, &curve, o, priors);
        }
        sim_report_print(&report, o->format, stdout);
    } else {
        status = sl__fail(err, SL_E_NOMEM, 0, "no memory for the results");
    }
    free(report.requests);
    free(results);
    return status;
}

static sim_batch_row batch_row(const options *o, const sim_recordings *recordings,
                               const sim_curve *curve, const sim_policy *policy,
                               sim_sharing sharing) {
    union {
        uint64_t align;
        char bytes[SLP_PRIOR_BYTES_MAX];
    } memory;
    slp_prior *prior = o->no_prior ? NULL : slp_prior_init(memory.bytes, sizeof memory.bytes);
    return (sim_batch_row){
        policy->name, sharing,
        sim_batch_run(policy, sharing, recordings, o->requests, curve, &o->noise, prior)};
}

/* Several requests in a pass: plain decoding, then every other policy in every way it can
 * share one. */
static sl_status run_batched(const options *o, sim_recordings *recordings, sl_error *err) {
    static sim_policy policies[POLICIES_MAX];
    sim_batch_row rows[1 + POLICIES_MAX * (SIM_UNBOUND + 1)];
    sim_policy plain;
    sim_curve curve;
    int n = 0;
    const int n_policies = parse_policies(o, policies, err);
    if (n_policies == 0) return SL_E_ARG;
    sl_status status = sim_policy_parse(&plain, "off", o->draft_max, err);
    if (status == SL_OK) status = sim_curve_open(&curve, o->curve, err);
    if (status != SL_OK) return status;
    sim_recordings_shuffle(recordings, o->noise.seed);
    rows[n++] = batch_row(o, recordings, &curve, &plain, SIM_ALONE);
    for (int p = 0; p < n_policies; p++) {
        const slp_policy policy = policies[p].config.policy;
        if (policy == SLP_POLICY_OFF) continue;
        const int last = policy == SLP_POLICY_LEDGER ? SIM_UNBOUND : SIM_ALONE;
        for (int sharing = SIM_ALONE; sharing <= last; sharing++)
            rows[n++] = batch_row(o, recordings, &curve, &policies[p], (sim_sharing)sharing);
    }
    sim_batch_print(rows, n, o->curve, o->requests, o->format, stdout);
    return SL_OK;
}

static sl_status replay(const options *o, sl_error *err) {
    sim_recordings recordings = {NULL, 0, 0};
    sim_vocab *vocab = NULL;
    sl_status status = sim_vocab_open(&vocab, o->vocab, err);
    for (int i = 0; status == SL_OK && i < o->n_replay; i++)
        status = sim_recordings_add(&recordings, o->replay[i], vocab, o->drafter, err);
    if (status == SL_OK)
        status =
            o->requests > 0 ? run_batched(o, &recordings, err) : run_recorded(o, &recordings, err);
    sim_recordings_free(&recordings);
    sim_vocab_close(vocab);
    return status;
}

/* Mean unions, and how far they are from routing at random. */
static void print_unions(const sim_union *mean, FILE *out) {
    fprintf(out, "Distinct experts per layer of 1, 2, 4, 8, 16 consecutive tokens:");
    for (int32_t n = 1; n <= 16; n *= 2)
        fprintf(out, " %.1f", mean->experts[n]);
    fprintf(out, "\n\nExact for drafted tokens that came out; a rejected one adds the mean of one "
                 "more consecutive token.\n\n");
}

static sl_status routed(const options *o, sl_error *err) {
    sim_recordings recordings = {NULL, 0, 0};
    sim_union mean;
    sl_status status = sim_routing_add(&recordings, o->routing_meta, o->routing_ids, o->shape,
                                       o->drafter, &mean, err);
    if (status == SL_OK && o->format == SIM_MD) print_unions(&mean, stdout);
    if (status == SL_OK) status = run_recorded(o, &recordings, err);
    sim_recordings_free(&recordings);
    return status;
}

/* ---- made up ------------------------------------------------------------------------- */

/* The number of scenarios that broke the bound. */
static uint64_t run_synthetic(uint64_t n, uint64_t seed) {
    struct {
        uint64_t n, broken;
        double logs, worst, loss, used;
    } sum[SIM_TEXTS][SIM_MACHINES] = {{{0}}};
    uint64_t broken = 0;
    for (uint64_t i = 0; i < n; i++) {
        const sim_scenario_result r = sim_scenario_run(seed, i);
        if (r.broken)
            fprintf(stderr, "slp_sim: scenario %llu broke its bound\n", (unsigned long long)i);
        broken += (uint64_t)r.broken;
        sum[r.text][r.machine].n++;
        sum[r.text][r.machine].broken += (uint64_t)r.broken;
        sum[r.text][r.machine].logs += log(r.speedup);
        if (sum[r.text][r.machine].n == 1 || r.speedup < sum[r.text][r.machine].worst)
            sum[r.text][r.machine].worst = r.speedup;
        if (r.loss > sum[r.text][r.machine].loss) sum[r.text][r.machine].loss = r.loss;
        if (r.bound > 0 && r.loss / r.bound > sum[r.text][r.machine].used)
            sum[r.text][r.machine].used = r.loss / r.bound;
    }
    printf(
        "| acceptance | machine | scenarios | broken | mean speed-up | worst | largest loss, plain"
        " iterations | largest loss / bound |\n|---|---|--:|--:|--:|--:|--:|--:|\n");
    for (int t = 0; t < SIM_TEXTS; t++)
        for (int m = 0; m < SIM_MACHINES; m++)
            printf("| %s | %s | %llu | %llu | %.3f | %.3f | %.2f | %.2f |\n", sim_text_name(t),
                   sim_machine_name(m), (unsigned long long)sum[t][m].n,
                   (unsigned long long)sum[t][m].broken,
                   exp(sum[t][m].n ? sum[t][m].logs / (double)sum[t][m].n : 0), sum[t][m].worst,
                   sum[t][m].loss, sum[t][m].used);
    printf("\n%llu of %llu scenarios broke the bound\n", (unsigned long long)broken,
           (unsigned long long)n);
    return broken;
}

int main(int argc, char **argv) {
    sl_error err = {0};
    options o = {.curve = "target",
                 .policies = "off,static:1,static:2,static:3,static:4,static:5,static:6,static:7,"
                             "static:8,cascade,ledger",
                 .noise = {.relative = 0.05, .seed = 1},
                 .shape = {24, 4},
                 .expert_share = 0.7,
                 .draft_max = 15};
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        fputs(usage, stdout);
        return 0;
    }
    if (!parse(argc, argv, &o)) {
        fputs(usage, stderr);
        return 2;
    }
    if (o.synthetic > 0) return run_synthetic(o.synthetic, o.noise.seed) > 0;
    if ((o.routing_meta ? routed(&o, &err) : replay(&o, &err)) == SL_OK) return 0;
    fprintf(stderr, "slp_sim: %s\n", err.text);
    return 1;
}
