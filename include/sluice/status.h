/* status.h - how every sluice call reports failure.
 *
 * A call that can fail returns an sl_status and fills a nullable sl_error with a
 * code, a place and one line of text. Plain data: nothing here is freed.
 * The library never prints, exits, reads the environment or installs handlers. */
#ifndef SLUICE_STATUS_H
#define SLUICE_STATUS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define SL_API __attribute__((visibility("default")))
#define SL_MUST_USE __attribute__((warn_unused_result))
#define SL_PRINTF(at, first) __attribute__((format(printf, at, first)))
#else
#define SL_API
#define SL_MUST_USE
#define SL_PRINTF(at, first)
#endif

/* X(name, value, http, text). Values are ABI: append, never renumber or reuse. */
#define SL_STATUS_MAP(X)                                                                           \
    X(SL_OK, 0, 200, "ok")                                                                         \
    X(SL_E_ARG, -1, 400, "invalid argument")                                                       \
    X(SL_E_FORMAT, -2, 422, "malformed or unsupported file")                                       \
    X(SL_E_CONTEXT, -3, 400, "not enough context left")                                            \
    X(SL_E_NOMEM, -4, 507, "out of memory")                                                        \
    X(SL_E_IO, -5, 500, "input/output error")                                                      \
    X(SL_E_ISA, -6, 500, "no such kernel table on this CPU")                                       \
    X(SL_E_NUMBER, -7, 500, "a number that is not finite")

typedef enum sl_status {
#define X(name, value, http, text) name = (value),
    SL_STATUS_MAP(X)
#undef X
} sl_status;

#define SL_ERROR_TEXT_MAX 384
#define SL_NOWHERE UINT64_MAX

/* Details of the first failure of a call. Caller-owned; pass NULL when only the
 * code matters. A successful call leaves it untouched. */
typedef struct sl_error {
    sl_status code;
    uint64_t at;                  /* byte offset in the input, or SL_NOWHERE      */
    char text[SL_ERROR_TEXT_MAX]; /* one line, English, no trailing period or newline */
} sl_error;

/* Short English text for a code; never NULL. */
SL_API const char *sl_status_text(sl_status status);

/* Library version, "major.minor.patch". */
SL_API const char *sl_version(void);

#ifdef __cplusplus
}
#endif
#endif
