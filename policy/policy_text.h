/* policy_text.h - read and write the few texts of this library.
 *
 * Bounded, and blind to the locale because it knows only decimal digits. Internal;
 * used by the option parsers and by traces. */
#ifndef SLUICE_POLICY_TEXT_H
#define SLUICE_POLICY_TEXT_H

#include "sluice_policy.h"

/* ---- errors: fill a nullable err and return the code --------------------- */

void slp__error_clear(slp_error *err);
slp_status slp__fail(slp_error *err, slp_status code, size_t at, const char *text);

/* "NAME: expected a whole number in MIN .. MAX" */
slp_status slp__fail_range(slp_error *err, slp_status code, size_t at, const char *name,
                           uint64_t min, uint64_t max);

/* ---- writer: appends to out[0 .. size), always NUL-terminated if size > 0 -- */

typedef struct slp__writer {
    char *out;
    size_t size;
    size_t length; /* without the NUL                              */
    int full;      /* something did not fit; later writes are lost */
} slp__writer;

slp__writer slp__writer_on(char *out, size_t size);
void slp__put_text(slp__writer *w, const char *text);
void slp__put_number(slp__writer *w, uint64_t value);
void slp__put_milli(slp__writer *w, uint64_t thousandths); /* 1234 as 1.234 */

/* ---- reader: moves through text[0 .. length) ------------------------------ */

typedef struct slp__reader {
    const char *text;
    size_t length;
    size_t at; /* the next byte; after a failure where it was noticed */
} slp__reader;

int slp__at_end(const slp__reader *r);

/* Step over `literal` if it comes next and say whether it did. */
int slp__take(slp__reader *r, const char *literal);

/* Step over a decimal number in min .. max. SLP_E_FORMAT if no digit comes next,
 * SLP_E_ARG if it is out of range; err names it `name`. */
slp_status slp__take_number(slp__reader *r, const char *name, uint64_t min, uint64_t max,
                            uint64_t *value, slp_error *err);

/* Step over digits, a point and three digits: 1.234 as 1234, up to max. */
slp_status slp__take_milli(slp__reader *r, const char *name, uint64_t max, uint64_t *thousandths,
                           slp_error *err);

#endif /* SLUICE_POLICY_TEXT_H */
