/* test_plot.c - pages are well-formed, charts show what they were given.
 *
 * The pages' XML is judged by a reader of our own: elements nest, attributes are quoted,
 * text holds no bare markup. `test_plot FILE` also writes the page for other eyes. */
#include "plot.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

static char *page_of(void (*draw)(FILE *out)) {
    static char *text; /* static: gcc takes the stream's buffer for a local one */
    static size_t n;
    FILE *out = open_memstream(&text, &n);
    assert_non_null(out);
    draw(out);
    assert_int_equal(ferror(out), 0);
    assert_int_equal(fclose(out), 0);
    return text;
}

static int count(const char *text, const char *word) {
    int n = 0;
    for (const char *at = strstr(text, word); at; at = strstr(at + 1, word))
        n++;
    return n;
}

/* One tag, from behind its '<' to behind its '>'; fails the test on bad syntax. */
static const char *read_tag(const char *at, char stack[][16], int *depth) {
    int closing = *at == '/';
    at += closing;
    size_t n = strspn(at, "abcdefghijklmnopqrstuvwxyz1234");
    assert_in_range(n, 1, 15);
    char name[16] = {0};
    memcpy(name, at, n);
    at += n;
    while (*at && *at != '>' && *at != '/') {
        assert_int_equal(*at++, ' ');
        at += strspn(at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-");
        assert_int_equal(*at++, '=');
        assert_int_equal(*at++, '"');
        at += strcspn(at, "\"<");
        assert_int_equal(*at++, '"');
        while (*at == ' ' && (at[1] == '>' || at[1] == '/'))
            at++;
    }
    int empty = *at == '/';
    at += empty;
    assert_int_equal(*at, '>');
    if (closing) {
        assert_true(*depth > 0);
        assert_string_equal(name, stack[--*depth]);
    } else if (!empty) {
        assert_in_range(*depth, 0, 30);
        memcpy(stack[(*depth)++], name, sizeof name);
    }
    return at + 1;
}

static void check_xml(const char *text) {
    char stack[32][16];
    int depth = 0;
    if (strncmp(text, "<!DOCTYPE html>\n", 16) == 0) text += 16;
    for (const char *at = text; *at;) {
        if (*at == '<') {
            at = read_tag(at + 1, stack, &depth);
        } else if (*at == '&') {
            const char *end = strchr(at, ';');
            assert_non_null(end);
            assert_in_range(end - at, 3, 5);
            at = end + 1;
        } else {
            assert_int_not_equal(*at, '>');
            assert_true((unsigned char)*at >= 0x20 || *at == '\n' || *at == '\t');
            at++;
        }
    }
    assert_int_equal(depth, 0);
}

static const double UP[] = {1, 2, NAN, 4, 5};
static const double LOW[] = {0.5, 1.5, NAN, 3.5, 4.5}, HIGH[] = {1.5, 2.5, NAN, 4.5, 5.5};
static const char *const NOTES[] = {"a<b & \"c\"", NULL, NULL, "tab\there", "bell\a"};

static void draw_everything(FILE *out) {
    static const char *const heads[] = {"policy", "speed-up"};
    static const char *const tasks[] = {"code", "math & <more>", "chat", "x", "y"};
    slr_axes axes = {.title = "t < u", .x_label = "x", .y_label = "y", .y_line = 1.0};
    slr_series series[] = {
        {.name = "line", .mark = SLR_LINE, .n = 5, .y = UP, .notes = NOTES},
        {.name = "step", .mark = SLR_STEP, .n = 5, .y = UP},
        {.name = "points", .mark = SLR_POINTS, .n = 5, .y = UP, .low = LOW, .high = HIGH},
        {.name = "area", .mark = SLR_AREA, .n = 5, .y = UP},
    };
    slr_page_begin(out, "Everything & more");
    slr_heading(out, 2, "Curves");
    slr_paragraph(out, "1 < 2 > 0");
    slr_preformatted(out, "$ run | less");
    slr_xy(out, &axes, series, 4);
    slr_bars(out, &axes, tasks, 5, series, 4);
    slr_table_begin(out, heads, 2);
    slr_row_begin(out);
    slr_cell(out, "ledger");
    slr_cell_number(out, 1.23456, 3);
    slr_row_end(out);
    slr_row_begin(out);
    slr_cell(out, "off");
    slr_cell_number(out, NAN, 3);
    slr_row_end(out);
    slr_table_end(out);
    slr_page_end(out);
}

/* Fails if any text reaches the page unescaped, or an element stays open. */
static void a_page_is_well_formed_whatever_its_texts(void **state) {
    (void)state;
    char *page = page_of(draw_everything);
    check_xml(page);
    assert_non_null(strstr(page, "<title>Everything &amp; more</title>"));
    assert_non_null(strstr(page, "a&lt;b &amp; &quot;c&quot;"));
    assert_non_null(strstr(page, "<td class=\"n\">1.235</td>"));
    assert_null(strstr(page, "nan"));
    assert_null(strstr(page, "inf"));
    free(page);
}

/* Fails if a gap is bridged: the value that is not there would be drawn. */
static void a_value_that_is_not_finite_leaves_a_gap(void **state) {
    (void)state;
    char *page = page_of(draw_everything);
    assert_int_equal(count(page, "<path "), 2 * 3);         /* line, step, area: two runs each */
    assert_int_equal(count(page, "class=\"point\""), 4);    /* of five values                  */
    assert_int_equal(count(page, "class=\"note\""), 3);     /* values with a note              */
    assert_int_equal(count(page, "\"><title>"), 3 + 4 * 4); /* notes; and every bar has one    */
    free(page);
}

static void draw_nothing(FILE *out) {
    const double none[] = {NAN, INFINITY};
    slr_series series = {.name = "s", .n = 2, .y = none};
    slr_xy(out, &(slr_axes){.title = "empty"}, &series, 1);
    slr_bars(out, &(slr_axes){0}, NULL, 0, NULL, 0);
}

static void a_chart_without_values_says_so(void **state) {
    (void)state;
    char *page = page_of(draw_nothing);
    check_xml(page);
    assert_int_equal(count(page, "nothing to show"), 2);
    free(page);
}

static void draw_line(FILE *out) {
    const double x[] = {10, 20, 40}, y[] = {0, 50, 100};
    slr_series series = {.n = 3, .x = x, .y = y};
    slr_xy(out, &(slr_axes){.width = 470, .height = 162}, &series, 1);
}

/* 470 by 162 leaves a frame of 400 by 100 pixels at (58, 26). Fails if an axis is turned,
 * mirrored or shifted. */
static void points_lie_where_their_values_say(void **state) {
    (void)state;
    char *page = page_of(draw_line);
    assert_non_null(strstr(page, "<path d=\"M58.0 126.0L191.3 76.0L458.0 26.0\""));
    free(page);
}

static void draw_flat(FILE *out) {
    const double y[] = {3, 3}, zero[] = {0};
    slr_xy(out, &(slr_axes){0}, &(slr_series){.n = 2, .y = y}, 1);
    slr_xy(out, &(slr_axes){0}, &(slr_series){.n = 1, .y = zero}, 1);
    const double tiny[] = {1e-9, 2e-9}, huge[] = {1e12, 9e12};
    slr_xy(out, &(slr_axes){0}, &(slr_series){.n = 2, .y = tiny}, 1);
    slr_xy(out, &(slr_axes){0}, &(slr_series){.n = 2, .y = huge}, 1);
}

static void flat_single_tiny_and_huge_values_have_axes_too(void **state) {
    (void)state;
    char *page = page_of(draw_flat);
    check_xml(page);
    assert_null(strstr(page, "nan"));
    assert_int_equal(count(page, "<path "), 4);
    assert_in_range(count(page, "class=\"grid\""), 4 * 3, 4 * 14);
    free(page);
}

int main(int argc, char **argv) {
    if (argc == 2) {
        FILE *out = fopen(argv[1], "w");
        if (!out) return 1;
        draw_everything(out);
        return fclose(out) ? 1 : 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_page_is_well_formed_whatever_its_texts),
        cmocka_unit_test(a_value_that_is_not_finite_leaves_a_gap),
        cmocka_unit_test(a_chart_without_values_says_so),
        cmocka_unit_test(points_lie_where_their_values_say),
        cmocka_unit_test(flat_single_tiny_and_huge_values_have_axes_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
