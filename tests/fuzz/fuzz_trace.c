/* fuzz_trace.c - any bytes as a request's trace (`sluice trace`): one complaint, or steps
 * that follow one another and a page that is whole. */
#include "fuzz_complaints.h"

#include <math.h>
#include <string.h>

#include "trace_page.h"
#include "trace_read.h"

static void check_step(const cli_step *s, const cli_step *before) {
    FUZZ_CHECK(s->position >= 0 && s->accepted >= 0 && s->accepted <= s->drafted);
    FUZZ_CHECK(!before || s->position == before->position + before->accepted + 1);
    FUZZ_CHECK(isfinite(cli_step_ns(s)) && cli_step_ns(s) >= 0 && isfinite(s->plain_ns));
    FUZZ_CHECK(!isinf(s->utility) && !isinf(s->loss_ns) && !isinf(s->loss_max_ns));
    FUZZ_CHECK(memchr(s->drafter, 0, CLI_TRACE_WORD) && memchr(s->phase, 0, CLI_TRACE_WORD) &&
               memchr(s->reason, 0, CLI_TRACE_WORD));
}

/* Numbers in attributes are numbers: quotation marks of words come out as &quot;. */
static void check_page(const cli_trace *trace) {
    static const char *const wrong[] = {"=\"nan", "=\"-nan", "=\"inf", "=\"-inf", "d=\"Mnan"};
    static const char end[] = "</body>\n</html>\n";
    char *page = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&page, &n);
    FUZZ_CHECK(out && cli_trace_page(out, trace) == CLI_OK && fclose(out) == 0);
    FUZZ_CHECK(n > sizeof end && strcmp(page + n - (sizeof end - 1), end) == 0);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        FUZZ_CHECK(!strstr(page, wrong[i]));
    free(page);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    cli_trace trace;
    fuzz_complaints = 0;
    const int code = cli_trace_parse(&trace, "fuzz", (const char *)data, size);
    FUZZ_CHECK(fuzz_complaints == (code == CLI_OK ? 0 : 1));
    if (code != CLI_OK) {
        FUZZ_CHECK(code == CLI_FAILED && !trace.steps && trace.n == 0);
        return 0;
    }
    FUZZ_CHECK(trace.n > 0);
    for (size_t i = 0; i < trace.n; i++)
        check_step(&trace.steps[i], i > 0 ? &trace.steps[i - 1] : NULL);
    check_page(&trace);
    cli_trace_free(&trace);
    return 0;
}
