/* page.c - the HTML around the charts: headings, paragraphs, tables, the style sheet. */
#include <math.h>

#include "report_private.h"

void slr__text(FILE *out, const char *text) {
    for (const char *c = text ? text : ""; *c; c++) {
        switch (*c) {
        case '&':
            (void)fputs("&amp;", out);
            break;
        case '<':
            (void)fputs("&lt;", out);
            break;
        case '>':
            (void)fputs("&gt;", out);
            break;
        case '"':
            (void)fputs("&quot;", out);
            break;
        default:
            /* XML has no place for control characters, however they are written. */
            if ((unsigned char)*c >= 0x20 || *c == '\n' || *c == '\t') (void)fputc(*c, out);
        }
    }
}

/* Colours that stay apart for colour-blind readers (Okabe and Ito, 2008), on both grounds. */
static const char STYLE[] =
    ":root{--ground:#fff;--ink:#1b1f24;--faint:#d6dbe1;--soft:#5c6670;--c0:#0072b2;--c1:#d55e00;"
    "--c2:#009e73;--c3:#cc79a7;--c4:#b98500;--c5:#3b9fd6;--c6:#7a52c7;--c7:#6b7280}\n"
    "@media(prefers-color-scheme:dark){:root{--ground:#14171b;--ink:#e4e8ec;--faint:#343b44;"
    "--soft:#98a2ad;--c0:#4aa8e0;--c1:#f0803c;--c2:#35c79a;--c3:#e39cc4;--c4:#e6b422;"
    "--c5:#8fd0f5;--c6:#ab8ef0;--c7:#9ca3af}}\n"
    "body{background:var(--ground);color:var(--ink);max-width:920px;margin:2em auto;padding:0 1em;"
    "font:15px/1.5 system-ui,sans-serif}\n"
    "h1{font-size:1.5em}h2{font-size:1.2em;margin-top:2em}h3,h4{font-size:1em}\n"
    "table{border-collapse:collapse;margin:1em 0;font-variant-numeric:tabular-nums}\n"
    "th,td{padding:.2em .8em;border-bottom:1px solid var(--faint);text-align:left}\n"
    "th{font-weight:600;color:var(--soft)}td.n{text-align:right}\n"
    "pre{overflow-x:auto;background:var(--faint);padding:.6em}\n"
    "svg{display:block;margin:1em 0;max-width:100%;height:auto}\n"
    "svg text{font:11px system-ui,sans-serif;fill:var(--ink)}svg .soft{fill:var(--soft)}\n"
    "svg .title{font-size:13px;font-weight:600}svg .grid{stroke:var(--faint);stroke-width:1}\n"
    "svg .line{stroke:var(--soft);stroke-width:1;stroke-dasharray:5 3}\n"
    "svg .note{fill-opacity:0}svg .note:hover{fill-opacity:1}\n";

void slr_page_begin(FILE *out, const char *title) {
    (void)fputs("<!DOCTYPE html>\n<html xmlns=\"http://www.w3.org/1999/xhtml\" lang=\"en\">\n"
                "<head><meta charset=\"utf-8\"/>"
                "<meta name=\"viewport\" content=\"width=device-width\"/><title>",
                out);
    slr__text(out, title);
    (void)fprintf(out, "</title><style>\n%s</style></head>\n<body>\n", STYLE);
    slr_heading(out, 1, title);
}

void slr_page_end(FILE *out) {
    (void)fputs("</body>\n</html>\n", out);
}

static void element(FILE *out, const char *tag, const char *text) {
    (void)fprintf(out, "<%s>", tag);
    slr__text(out, text);
    (void)fprintf(out, "</%s>\n", tag);
}

void slr_heading(FILE *out, int level, const char *text) {
    static const char *const tags[] = {"h1", "h2", "h3", "h4"};
    element(out, tags[level < 1 ? 0 : level > 4 ? 3 : level - 1], text);
}

void slr_paragraph(FILE *out, const char *text) {
    element(out, "p", text);
}

void slr_preformatted(FILE *out, const char *text) {
    element(out, "pre", text);
}

void slr_table_begin(FILE *out, const char *const *heads, int n_heads) {
    (void)fputs("<table>\n<tr>", out);
    for (int i = 0; i < n_heads; i++) {
        (void)fputs("<th>", out);
        slr__text(out, heads[i]);
        (void)fputs("</th>", out);
    }
    (void)fputs("</tr>\n", out);
}

void slr_row_begin(FILE *out) {
    (void)fputs("<tr>", out);
}

void slr_cell(FILE *out, const char *text) {
    (void)fputs("<td>", out);
    slr__text(out, text);
    (void)fputs("</td>", out);
}

void slr_cell_number(FILE *out, double value, int decimals) {
    if (isfinite(value))
        (void)fprintf(out, "<td class=\"n\">%.*f</td>", decimals, value);
    else
        (void)fputs("<td class=\"n\">\xe2\x80\x93</td>", out);
}

void slr_row_end(FILE *out) {
    (void)fputs("</tr>\n", out);
}

void slr_table_end(FILE *out) {
    (void)fputs("</table>\n", out);
}
