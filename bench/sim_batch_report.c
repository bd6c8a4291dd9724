/* sim_batch_report.c - what sharing passes came to, as markdown, csv, and json with one object
 * per policy and sharing. Running them is in sim_batch.c. */
#include <jansson.h>

#include "sim_batch.h"
#include "sim_table.h"

/* Figures of a line, in the order in which csv and markdown print them. */
typedef struct figures {
    double speedup, rows, tokens; /* the latter two per pass */
} figures;

static const char *const sharing_names[] = {"alone", "pool", "pool without bound"};

static figures figures_of(const sim_batch_row *row, const sim_batch_row *plain) {
    const sim_batch_result *r = &row->result;
    const double passes = r->passes > 0 ? (double)r->passes : 1;
    return (figures){r->time > 0 ? plain->result.time / r->time : 1, (double)r->rows / passes,
                     (double)r->tokens / passes};
}

static void print_md(const sim_batch_row *rows, int n, const char *curve, int32_t width,
                     FILE *out) {
    fprintf(out,
            "### curve %s, %d requests in a pass\n\n"
            "| policy | rows chosen | speed-up | rows per pass | tokens per pass |"
            " worst, >= %d tokens | worst |\n|---|---|--:|--:|--:|--:|--:|\n",
            curve, width, SIM_LONG_TOKENS);
    for (int i = 0; i < n; i++) {
        const figures f = figures_of(&rows[i], &rows[0]);
        fprintf(out, "| %s | %s | %.3f | %.2f | %.2f | %.3f | %.3f |\n", rows[i].policy,
                sharing_names[rows[i].sharing], f.speedup, f.rows, f.tokens,
                rows[i].result.worst_long, rows[i].result.worst);
    }
    fputc('\n', out);
}

static void print_csv(const sim_batch_row *rows, int n, const char *curve, int32_t width,
                      FILE *out) {
    fprintf(out, "curve,requests,policy,sharing,speedup,rows,tokens,worst_long,worst\n");
    for (int i = 0; i < n; i++) {
        const figures f = figures_of(&rows[i], &rows[0]);
        fprintf(out, "%s,%d,\"%s\",%s,%.5f,%.5f,%.5f,%.5f,%.5f\n", curve, width, rows[i].policy,
                sharing_names[rows[i].sharing], f.speedup, f.rows, f.tokens,
                rows[i].result.worst_long, rows[i].result.worst);
    }
}

static void print_json(const sim_batch_row *rows, int n, const char *curve, int32_t width,
                       FILE *out) {
    for (int i = 0; i < n; i++) {
        const sim_batch_result *r = &rows[i].result;
        json_t *line = json_pack(
            "{s:s, s:i, s:s, s:s, s:f, s:f, s:I, s:I, s:I, s:f, s:f}", "curve", curve, "requests",
            (int)width, "policy", rows[i].policy, "sharing", sharing_names[rows[i].sharing], "time",
            r->time, "speedup", figures_of(&rows[i], &rows[0]).speedup, "passes",
            (json_int_t)r->passes, "rows", (json_int_t)r->rows, "tokens", (json_int_t)r->tokens,
            "worst_long", r->worst_long, "worst", r->worst);
        json_dumpf(line, out, JSON_COMPACT | JSON_REAL_PRECISION(7));
        fputc('\n', out);
        json_decref(line);
    }
}

void sim_batch_print(const sim_batch_row *rows, int n, const char *curve, int32_t width,
                     sim_format format, FILE *out) {
    if (format == SIM_CSV)
        print_csv(rows, n, curve, width, out);
    else if (format == SIM_JSON)
        print_json(rows, n, curve, width, out);
    else
        print_md(rows, n, curve, width, out);
}
