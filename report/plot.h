/* plot.h - charts and tables on one HTML page that needs nothing beside itself.
 *
 * A page is written from top to bottom onto a stream:
 *
 *     slr_page_begin(out, "title");
 *     slr_heading(out, 2, "Speed-up");
 *     slr_xy(out, &axes, series, n_series);          an SVG chart
 *     slr_table_begin(out, heads, n_heads);          rows, cell by cell
 *     slr_page_end(out);
 *
 * Charts follow the reader's light or dark setting; points with notes show them under
 * the pointer. The page is well-formed XML as well, so that any XML parser can check it.
 * Every text is escaped here. Nothing is allocated, and nothing fails but the stream:
 * look at ferror() once at the end. */
#ifndef SLR_PLOT_H
#define SLR_PLOT_H

#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SLR_COLOURS 8 /* series beyond these repeat the colours with dashes */

typedef enum slr_mark { SLR_LINE, SLR_STEP, SLR_POINTS, SLR_AREA } slr_mark;

/* One set of values. All arrays are borrowed for the call. */
typedef struct slr_series {
    const char *name;         /* in the legend; NULL or "": not there                 */
    slr_mark mark;            /* of a curve; bars ignore it                           */
    int n;                    /* points; of bars: categories                          */
    const double *x;          /* [n] ascending, or NULL: 0, 1, 2 ...; bars ignore it  */
    const double *y;          /* [n]; one that is not finite leaves a gap             */
    const double *low, *high; /* [n] ends of an interval around y, or both NULL       */
    const char *const *notes; /* [n] shown under the pointer, or NULL; any may be NULL */
} slr_series;

typedef struct slr_axes {
    const char *title, *x_label, *y_label; /* any may be NULL                         */
    int width, height;                     /* pixels; 0: 880 by 260                   */
    double y_min, y_max;                   /* both 0: what the values need            */
    double y_line;                         /* a reference line across, unless NaN or 0 */
} slr_axes;

void slr_page_begin(FILE *out, const char *title);
void slr_page_end(FILE *out);
void slr_heading(FILE *out, int level, const char *text); /* level 1 .. 4 */
void slr_paragraph(FILE *out, const char *text);
void slr_preformatted(FILE *out, const char *text);

/* A table: a row of heads, then n_heads cells per row. Numbers align right. */
void slr_table_begin(FILE *out, const char *const *heads, int n_heads);
void slr_row_begin(FILE *out);
void slr_cell(FILE *out, const char *text);
void slr_cell_number(FILE *out, double value, int decimals); /* not finite: a dash */
void slr_row_end(FILE *out);
void slr_table_end(FILE *out);

/* Curves over a common x axis. A chart with no finite value says so in its place. */
void slr_xy(FILE *out, const slr_axes *axes, const slr_series *series, int n_series);

/* Groups of bars: one group per category, one bar per series in it. Bars start at 0, or
 * at y_line where that is set. */
void slr_bars(FILE *out, const slr_axes *axes, const char *const *categories, int n_categories,
              const slr_series *series, int n_series);

#ifdef __cplusplus
}
#endif
#endif
