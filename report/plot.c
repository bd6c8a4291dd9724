/* plot.c - charts as SVG.
 *
 *      title
 *      y label   +-------------------------+      the frame: values lie inside, the
 *           tick |       .--.    y_line    |      y axis is rounded outwards to ticks
 *           tick |  ----'    '-----        |      of 1, 2 or 5 times a power of ten
 *                +-------------------------+
 *                 tick     tick      x label
 *      # series  # series                         the legend, if any series has a name */
#include "plot.h"

#include <math.h>

#include "report_private.h"

enum { LEFT = 58, RIGHT = 12, TOP = 26, BOTTOM = 36, LEGEND = 20, TICKS = 6 };

typedef struct frame {
    double left, top, width, height; /* pixels */
    double x0, x1, y0, y1;           /* values at its edges */
    double y_step;
    int decimals; /* of the y ticks */
} frame;

static double x_of(const slr_series *s, int i) {
    return s->x ? s->x[i] : i;
}

static double px(const frame *f, double x) {
    return f->left + (x - f->x0) / (f->x1 - f->x0) * f->width;
}

static double py(const frame *f, double y) {
    double inside = fmin(fmax(y, f->y0), f->y1);
    return f->top + (f->y1 - inside) / (f->y1 - f->y0) * f->height;
}

/* The distance of about `ticks` round marks over a span. */
static double tick_step(double span, int ticks) {
    double rough = span / ticks;
    double power = pow(10.0, floor(log10(rough)));
    double digit = rough / power;
    return power * (digit <= 1.0 ? 1.0 : digit <= 2.0 ? 2.0 : digit <= 5.0 ? 5.0 : 10.0);
}

static int decimals_of(double step) {
    int decimals = (int)ceil(-log10(step) - 1e-9);
    return decimals < 0 ? 0 : decimals;
}

typedef struct range {
    double low, high;
} range;

static void widen(range *r, double value) {
    if (!isfinite(value)) return;
    r->low = fmin(r->low, value);
    r->high = fmax(r->high, value);
}

static range y_range(const slr_series *series, int n_series) {
    range r = {INFINITY, -INFINITY};
    for (int s = 0; s < n_series; s++) {
        for (int i = 0; i < series[s].n; i++) {
            widen(&r, series[s].y[i]);
            if (series[s].low) widen(&r, series[s].low[i]);
            if (series[s].high) widen(&r, series[s].high[i]);
        }
    }
    return r;
}

static int has_line(const slr_axes *axes) {
    return isfinite(axes->y_line) && axes->y_line != 0.0;
}

/* Fill in the y axis from the values; 0 if there is nothing finite to show. */
static int fit_y(frame *f, const slr_axes *axes, range r) {
    if (r.low > r.high) return 0;
    if (has_line(axes)) widen(&r, axes->y_line);
    int given = axes->y_min < axes->y_max;
    if (given) r = (range){axes->y_min, axes->y_max};
    if (r.high - r.low < 1e-12 * (1.0 + fabs(r.high))) {
        double room = r.high == 0.0 ? 1.0 : fabs(r.high) * 0.1;
        r = (range){r.low - room, r.high + room};
    }
    f->y_step = tick_step(r.high - r.low, TICKS);
    f->decimals = decimals_of(f->y_step);
    f->y0 = given ? r.low : floor(r.low / f->y_step + 1e-9) * f->y_step;
    f->y1 = given ? r.high : ceil(r.high / f->y_step - 1e-9) * f->y_step;
    return 1;
}

static void label(FILE *out, double x, double y, const char *anchor, const char *class,
                  const char *text) {
    if (!text || !*text) return;
    (void)fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" class=\"%s\">", x, y, anchor,
                  class);
    slr__text(out, text);
    (void)fputs("</text>\n", out);
}

static void horizontal(FILE *out, const frame *f, double y, const char *class) {
    (void)fprintf(out, "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\" class=\"%s\"/>\n",
                  f->left, f->left + f->width, py(f, y), py(f, y), class);
}

static void draw_y_axis(FILE *out, const frame *f, const slr_axes *axes) {
    long first = lround(ceil(f->y0 / f->y_step - 1e-9));
    long last = lround(floor(f->y1 / f->y_step + 1e-9));
    for (long i = first; i <= last; i++) {
        char text[40];
        double y = (double)i * f->y_step;
        (void)snprintf(text, sizeof text, "%.*f", f->decimals, y);
        horizontal(out, f, y, "grid");
        label(out, f->left - 6, py(f, y) + 4, "end", "soft", text);
    }
    if (has_line(axes)) horizontal(out, f, axes->y_line, "line");
    label(out, 0, 13, "start", "title", axes->title);
    label(out, f->left + f->width, 13, "end", "soft", axes->y_label);
    label(out, f->left + f->width, f->top + f->height + 30, "end", "soft", axes->x_label);
}

static void draw_x_axis(FILE *out, const frame *f) {
    double step = tick_step(f->x1 - f->x0, 10);
    int decimals = decimals_of(step);
    long first = lround(ceil(f->x0 / step - 1e-9)), last = lround(floor(f->x1 / step + 1e-9));
    for (long i = first; i <= last; i++) {
        char text[40];
        double x = (double)i * step;
        (void)snprintf(text, sizeof text, "%.*f", decimals, x);
        label(out, px(f, x), f->top + f->height + 15, "middle", "soft", text);
    }
}

static int named(const slr_series *series, int n_series) {
    for (int s = 0; s < n_series; s++) {
        if (series[s].name && *series[s].name) return 1;
    }
    return 0;
}

static void draw_legend(FILE *out, const frame *f, const slr_series *series, int n_series) {
    double slot = f->width / (n_series < 4 ? 4 : n_series);
    double y = f->top + f->height + BOTTOM + 10;
    for (int s = 0; s < n_series; s++) {
        if (!series[s].name || !*series[s].name) continue;
        double x = f->left + slot * s;
        (void)fprintf(out,
                      "<rect x=\"%.1f\" y=\"%.1f\" width=\"10\" height=\"10\" "
                      "style=\"fill:var(--c%d)\"/>\n",
                      x, y - 9, s % SLR_COLOURS);
        label(out, x + 14, y, "start", "soft", series[s].name);
    }
}

/* Open the picture and lay out the frame; 0 if it only says that there is nothing. */
static int chart_begin(FILE *out, frame *f, const slr_axes *axes, const slr_series *series,
                       int n_series) {
    int width = axes->width > 0 ? axes->width : 880;
    int height = axes->height > 0 ? axes->height : 260;
    int legend = named(series, n_series) ? LEGEND : 0;
    f->left = LEFT, f->top = TOP;
    f->width = width - LEFT - RIGHT;
    f->height = height - TOP - BOTTOM - legend;
    (void)fprintf(out,
                  "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
                  "viewBox=\"0 0 %d %d\" role=\"img\">\n",
                  width, height, width, height);
    if (fit_y(f, axes, y_range(series, n_series))) return 1;
    label(out, 0, 13, "start", "title", axes->title);
    label(out, width / 2.0, height / 2.0, "middle", "soft", "nothing to show");
    (void)fputs("</svg>\n", out);
    return 0;
}

static void chart_end(FILE *out, const frame *f, const slr_series *series, int n_series) {
    draw_legend(out, f, series, n_series);
    (void)fputs("</svg>\n", out);
}

/* ---- curves --------------------------------------------------------------------------- */

static const char *dashes(int s) {
    return s >= SLR_COLOURS ? ";stroke-dasharray:4 3" : "";
}

/* The path of points [from, to), all finite; a step holds its value until the next x. */
static void draw_run(FILE *out, const frame *f, const slr_series *s, int colour, int from, int to) {
    int area = s->mark == SLR_AREA;
    double base = py(f, 0.0);
    (void)fputs("<path d=\"", out);
    if (area) (void)fprintf(out, "M%.1f %.1fL", px(f, x_of(s, from)), base);
    for (int i = from; i < to; i++) {
        double x = px(f, x_of(s, i)), y = py(f, s->y[i]);
        if (s->mark == SLR_STEP && i > from) (void)fprintf(out, "H%.1f", x);
        (void)fprintf(out, "%s%.1f %.1f", i > from ? "L" : area ? "" : "M", x, y);
    }
    if (area)
        (void)fprintf(out, "L%.1f %.1fZ\" style=\"fill:var(--c%d);fill-opacity:.35\"/>\n",
                      px(f, x_of(s, to - 1)), base, colour % SLR_COLOURS);
    else
        (void)fprintf(out, "\" style=\"fill:none;stroke:var(--c%d);stroke-width:1.5%s\"/>\n",
                      colour % SLR_COLOURS, dashes(colour));
}

static void draw_runs(FILE *out, const frame *f, const slr_series *s, int colour) {
    for (int from = 0; from < s->n;) {
        int to = from;
        while (to < s->n && isfinite(s->y[to]))
            to++;
        if (to > from) draw_run(out, f, s, colour, from, to);
        from = to + 1;
    }
}

static void draw_interval(FILE *out, double x, double low, double high) {
    (void)fprintf(out,
                  "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\" "
                  "style=\"stroke:var(--ink);stroke-width:1\"/>\n",
                  x, x, low, high);
}

/* Points: the visible ones, and invisible ones that carry notes. */
static void draw_points(FILE *out, const frame *f, const slr_series *s, int colour) {
    for (int i = 0; i < s->n; i++) {
        const char *note = s->notes ? s->notes[i] : NULL;
        if (!isfinite(s->y[i]) || (s->mark != SLR_POINTS && !note)) continue;
        double x = px(f, x_of(s, i));
        (void)fprintf(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%s\" class=\"%s\" ", x,
                      py(f, s->y[i]), s->mark == SLR_POINTS ? "2.2" : "4",
                      s->mark == SLR_POINTS ? "point" : "note");
        (void)fprintf(out, "style=\"fill:var(--c%d)\">", colour % SLR_COLOURS);
        if (note) {
            (void)fputs("<title>", out);
            slr__text(out, note);
            (void)fputs("</title>", out);
        }
        (void)fputs("</circle>\n", out);
        if (s->low && s->high) draw_interval(out, x, py(f, s->low[i]), py(f, s->high[i]));
    }
}

void slr_xy(FILE *out, const slr_axes *axes, const slr_series *series, int n_series) {
    frame f = {0};
    if (!chart_begin(out, &f, axes, series, n_series)) return;
    range x = {INFINITY, -INFINITY};
    for (int s = 0; s < n_series; s++) {
        for (int i = 0; i < series[s].n; i++)
            widen(&x, x_of(&series[s], i));
    }
    f.x0 = x.low;
    f.x1 = x.high > x.low ? x.high : x.low + 1.0;
    draw_y_axis(out, &f, axes);
    draw_x_axis(out, &f);
    for (int s = 0; s < n_series; s++) {
        if (series[s].mark != SLR_POINTS) draw_runs(out, &f, &series[s], s);
        draw_points(out, &f, &series[s], s);
    }
    chart_end(out, &f, series, n_series);
}

/* ---- bars ----------------------------------------------------------------------------- */

static void draw_bar(FILE *out, const frame *f, const slr_series *s, int i, int colour, double x,
                     double width, double base) {
    if (i >= s->n || !isfinite(s->y[i])) return;
    double from = py(f, base), to = py(f, s->y[i]);
    (void)fprintf(out, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" ", x,
                  fmin(from, to), width, fabs(from - to));
    (void)fprintf(out, "style=\"fill:var(--c%d)\"><title>", colour % SLR_COLOURS);
    if (s->notes && s->notes[i])
        slr__text(out, s->notes[i]);
    else {
        slr__text(out, s->name);
        (void)fprintf(out, " %.4g", s->y[i]);
    }
    (void)fputs("</title></rect>\n", out);
    if (s->low && s->high) draw_interval(out, x + width / 2, py(f, s->low[i]), py(f, s->high[i]));
}

void slr_bars(FILE *out, const slr_axes *axes, const char *const *categories, int n_categories,
              const slr_series *series, int n_series) {
    frame f = {0};
    slr_axes shown = *axes;
    double base = has_line(axes) ? axes->y_line : 0.0;
    range r = y_range(series, n_series);
    if (shown.y_min >= shown.y_max && r.low <= r.high) {
        widen(&r, base);
        double room = fmax(r.high - r.low, 1e-6) * 0.08;
        shown.y_min = r.low < base ? r.low - room : r.low;
        shown.y_max = r.high > base ? r.high + room : r.high;
    }
    if (!chart_begin(out, &f, &shown, series, n_series)) return;
    draw_y_axis(out, &f, &shown);
    double slot = f.width / (n_categories > 0 ? n_categories : 1);
    double bar = slot * 0.8 / (n_series > 0 ? n_series : 1);
    for (int c = 0; c < n_categories; c++) {
        double left = f.left + slot * (c + 0.1);
        for (int s = 0; s < n_series; s++)
            draw_bar(out, &f, &series[s], c, s, left + bar * s, bar * 0.92, base);
        double line = n_categories > 6 && c % 2 ? 12 : 0; /* many names take two lines */
        label(out, f.left + slot * (c + 0.5), f.top + f.height + 15 + line, "middle", "soft",
              categories[c]);
    }
    chart_end(out, &f, series, n_series);
}
