/* cmd_trace.c - `sluice trace`: what speculation did in a request, and why. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cmd.h"
#include "message.h"
#include "options.h"
#include "sluice/generate.h"
#include "trace_page.h"
#include "trace_read.h"

enum { REASONS_MAX = 32 };

/* Sums over iterations. */
typedef struct sums {
    double iterations, tokens, drafted, accepted, ns, plain_ns;
} sums;

/* plain_ns: what the tokens would have taken without drafts; NAN once that is unknown. */
static void add_step(sums *to, const cli_step *s) {
    to->iterations++;
    to->tokens += cli_step_tokens(s);
    to->drafted += s->drafted;
    to->accepted += s->accepted;
    to->ns += cli_step_ns(s);
    to->plain_ns += s->plain_ns > 0 ? cli_step_tokens(s) * s->plain_ns : NAN;
}

static double percent(double part, double all) {
    return all > 0 ? 100 * part / all : 0;
}

static void print_totals(const cli_trace *t) {
    sums all = {0}, known = {0};
    double draft_ns = 0, pass_ns = 0;
    for (size_t i = 0; i < t->n; i++) {
        const cli_step *s = &t->steps[i];
        add_step(&all, s);
        if (s->plain_ns > 0) add_step(&known, s);
        draft_ns += s->draft_ns;
        pass_ns += s->pass_ns;
    }
    const cli_step *last = &t->steps[t->n - 1];
    (void)printf("trace       %.0f iterations, %.0f tokens, %.2f tokens per pass\n", all.iterations,
                 all.tokens, all.tokens / all.iterations);
    (void)printf("time        %.3f s: drafting %.1f%%, passes %.1f%%, the rest %.1f%%\n",
                 all.ns * 1e-9, percent(draft_ns, all.ns), percent(pass_ns, all.ns),
                 percent(all.ns - draft_ns - pass_ns, all.ns));
    (void)printf("drafts      kept %.0f of %.0f", all.accepted, all.drafted);
    if (all.drafted > 0) (void)printf(" (%.0f%%)", 100 * all.accepted / all.drafted);
    (void)printf("\n");
    if (known.ns > 0)
        (void)printf("speed       %.2f times plain decoding, as the policy knows it "
                     "(%.1f ms per token)\n",
                     known.plain_ns / known.ns, last->plain_ns * 1e-6);
    if (isfinite(last->loss_ns))
        (void)printf("ledger      %s %.1f ms by verifying, may lose %.1f ms\n",
                     last->loss_ns > 0 ? "lost" : "gained", fabs(last->loss_ns) * 1e-6,
                     last->loss_max_ns * 1e-6);
}

static void print_row(const char *head, const sums *s) {
    (void)printf("  %-8s %7.0f %10.2f %8.2f", head, s->iterations, s->tokens / s->iterations,
                 s->ns / s->iterations * 1e-6);
    if (isfinite(s->plain_ns) && s->ns > 0)
        (void)printf(" %9.2f %9.2f\n", s->ns / (s->plain_ns / s->tokens) / s->iterations,
                     s->plain_ns / s->ns);
    else
        (void)printf(" %9s %9s\n", "-", "-");
}

static void print_by_k(const cli_trace *t) {
    sums by_k[SL_DRAFT_MAX + 1] = {0};
    for (size_t i = 0; i < t->n; i++) {
        const cli_step *s = &t->steps[i];
        if (s->plain_ns > 0 || s->drafted == 0)
            add_step(&by_k[s->drafted <= SL_DRAFT_MAX ? s->drafted : SL_DRAFT_MAX], s);
    }
    (void)printf("\n  %-8s %7s %10s %8s %9s %9s\n", "verified", "passes", "tokens/pass", "ms",
                 "cost", "utility");
    for (int k = 0; k <= SL_DRAFT_MAX; k++) {
        char head[16];
        (void)snprintf(head, sizeof head, "%d", k);
        if (by_k[k].iterations > 0) print_row(head, &by_k[k]);
    }
}

/* Reasons in the order of their first use. */
static void print_by_reason(const cli_trace *t) {
    const char *reasons[REASONS_MAX];
    sums by_reason[REASONS_MAX] = {0};
    int n = 0;
    for (size_t i = 0; i < t->n; i++) {
        int r = 0;
        while (r < n && strcmp(reasons[r], t->steps[i].reason) != 0)
            r++;
        if (r == REASONS_MAX) continue;
        if (r == n) reasons[n++] = t->steps[i].reason;
        add_step(&by_reason[r], &t->steps[i]);
    }
    (void)printf("\n  %7s %8s  why\n", "passes", "verified");
    for (int r = 0; r < n; r++)
        (void)printf("  %7.0f %8.2f  %s\n", by_reason[r].iterations,
                     by_reason[r].drafted / by_reason[r].iterations, sl_reason_text(reasons[r]));
}

static int write_page(const cli_trace *t, const char *path) {
    FILE *out = fopen(path, "w");
    if (!out) {
        cli_complain("%s: %s", path, strerror(errno));
        return CLI_FAILED;
    }
    const int code = cli_trace_page(out, t);
    const char *failure = cli_write_failure(out);
    if (fclose(out) != 0 && !failure) failure = strerror(errno);
    if (failure) {
        cli_complain("%s: %s", path, failure);
        return CLI_FAILED;
    }
    return code;
}

static int run(const cli_command *self, int argc, char **argv) {
    const char *file = NULL, *page = NULL;
    int code;
    const cli_option options[] = {
        CLI_TEXT(NULL, "FILE", &file, "what 'sluice run --spec-trace FILE' wrote"),
        CLI_TEXT("-o --output", "PAGE", &page, "an HTML page with plots to write"),
    };
    if (!cli_parse(self, options, CLI_COUNT(options), argc, argv, &code)) return code;
    if (!file) {
        cli_complain("expected a trace, as 'sluice run --spec-trace FILE' writes it");
        return CLI_USAGE;
    }
    cli_trace trace;
    code = cli_trace_read(&trace, file);
    if (code != CLI_OK) return code;
    if (page) code = write_page(&trace, page);
    if (code == CLI_OK) {
        print_totals(&trace);
        print_by_k(&trace);
        print_by_reason(&trace);
    }
    cli_trace_free(&trace);
    return code;
}

const cli_command cli_cmd_trace = {"trace", "FILE [-o PAGE]",
                                   "Tell what speculation did in a request, and why", NULL, run};
