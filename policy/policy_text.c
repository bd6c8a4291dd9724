/* policy_text.c - bounded, locale-free text (see policy_text.h). */
#include "policy_text.h"

#include <string.h>

enum { DIGITS_MAX = 20 }; /* of a uint64_t */

/* ---- errors -------------------------------------------------------------- */

void slp__error_clear(slp_error *err) {
    if (!err) return;
    err->code = SLP_OK;
    err->at = 0;
    err->text[0] = '\0';
}

slp_status slp__fail(slp_error *err, slp_status code, size_t at, const char *text) {
    if (err) {
        slp__writer w = slp__writer_on(err->text, sizeof(err->text));
        slp__put_text(&w, text);
        err->code = code;
        err->at = at;
    }
    return code;
}

slp_status slp__fail_range(slp_error *err, slp_status code, size_t at, const char *name,
                           uint64_t min, uint64_t max) {
    if (err) {
        slp__writer w = slp__writer_on(err->text, sizeof(err->text));
        slp__put_text(&w, name);
        slp__put_text(&w, ": expected a whole number in ");
        slp__put_number(&w, min);
        slp__put_text(&w, " .. ");
        slp__put_number(&w, max);
        err->code = code;
        err->at = at;
    }
    return code;
}

/* ---- writer -------------------------------------------------------------- */

slp__writer slp__writer_on(char *out, size_t size) {
    slp__writer w;
    w.out = out;
    w.size = size;
    w.length = 0;
    w.full = size == 0;
    if (size > 0) out[0] = '\0';
    return w;
}

void slp__put_text(slp__writer *w, const char *text) {
    const size_t n = strlen(text);
    if (w->full || n >= w->size - w->length) {
        w->full = 1;
        return;
    }
    memcpy(w->out + w->length, text, n + 1);
    w->length += n;
}

void slp__put_number(slp__writer *w, uint64_t value) {
    char digits[DIGITS_MAX + 1];
    char *p = digits + DIGITS_MAX;
    *p = '\0';
    do {
        *--p = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    slp__put_text(w, p);
}

void slp__put_milli(slp__writer *w, uint64_t thousandths) {
    char point[] = ".000";
    const uint64_t rest = thousandths % 1000;
    point[1] = (char)('0' + rest / 100);
    point[2] = (char)('0' + rest / 10 % 10);
    point[3] = (char)('0' + rest % 10);
    slp__put_number(w, thousandths / 1000);
    slp__put_text(w, point);
}

/* ---- reader -------------------------------------------------------------- */

static int digit_at(const slp__reader *r) {
    if (r->at >= r->length) return -1;
    const char c = r->text[r->at];
    return c >= '0' && c <= '9' ? c - '0' : -1;
}

int slp__at_end(const slp__reader *r) {
    return r->at >= r->length;
}

int slp__take(slp__reader *r, const char *literal) {
    const size_t n = strlen(literal);
    if (r->length - r->at < n || memcmp(r->text + r->at, literal, n) != 0) return 0;
    r->at += n;
    return 1;
}

slp_status slp__take_number(slp__reader *r, const char *name, uint64_t min, uint64_t max,
                            uint64_t *value, slp_error *err) {
    const size_t start = r->at;
    uint64_t v = 0;
    int d = digit_at(r);
    if (d < 0) return slp__fail_range(err, SLP_E_FORMAT, start, name, min, max);
    for (; d >= 0; d = digit_at(r)) {
        const uint64_t digit = (uint64_t)d;
        if (digit > max || v > (max - digit) / 10)
            return slp__fail_range(err, SLP_E_ARG, start, name, min, max);
        v = v * 10 + digit;
        r->at++;
    }
    if (v < min) return slp__fail_range(err, SLP_E_ARG, start, name, min, max);
    *value = v;
    return SLP_OK;
}

slp_status slp__take_milli(slp__reader *r, const char *name, uint64_t max, uint64_t *thousandths,
                           slp_error *err) {
    uint64_t v = 0;
    const slp_status status = slp__take_number(r, name, 0, max / 1000, &v, err);
    if (status != SLP_OK) return status;
    if (!slp__take(r, "."))
        return slp__fail(err, SLP_E_FORMAT, r->at, "expected a point and three digits");
    for (int i = 0; i < 3; i++, r->at++) {
        const int d = digit_at(r);
        if (d < 0) return slp__fail(err, SLP_E_FORMAT, r->at, "expected three decimal digits");
        v = v * 10 + (uint64_t)d;
    }
    if (digit_at(r) >= 0)
        return slp__fail(err, SLP_E_FORMAT, r->at, "expected three decimal digits, not more");
    if (v > max) return slp__fail(err, SLP_E_ARG, r->at, "number out of range");
    *thousandths = v;
    return SLP_OK;
}
