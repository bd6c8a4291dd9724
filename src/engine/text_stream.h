/* text_stream.h - token bytes in, whole UTF-8 characters out, stop strings found.
 *
 *     pushed   "Hel" "lo \xF0\x9F" "\x98\x80 EN" "D and more"      stop string "END"
 *     ready    "Hel" "lo "         "\xF0\x9F\x98\x80 " ""           stopped
 *
 * What has not been decided yet is held back: the beginning of a character whose
 * other bytes may follow, and the beginning of a stop string that may be completed.
 * The text that comes out does not depend on how it was cut into tokens. Bytes that
 * are no UTF-8 pass through unchanged as soon as that is certain.
 *
 * The first stop string to be completed ends the text before it (of several completed
 * by the same byte, the longest); it is not emitted, nor is anything after it. */
#ifndef SL_TEXT_STREAM_H
#define SL_TEXT_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SL_STOP_STRINGS_MAX 16
#define SL_STOP_BYTES_MAX 256
#define SL_TEXT_HELD_MAX (SL_STOP_BYTES_MAX - 1 + 3) /* part of a stop string, of a character */

typedef struct sl__text_stream {
    int32_t n_stop;
    const char *stop[SL_STOP_STRINGS_MAX]; /* borrowed                            */
    size_t stop_bytes[SL_STOP_STRINGS_MAX];
    size_t stop_bytes_max;
    char *buffer; /* [capacity]; the text not handed out yet is [begin, end)       */
    size_t capacity;
    size_t begin;
    size_t end;
    bool skip_space; /* the first byte to come, if a space, is no part of the text. May be
                        set after sl__text_stream_init(); false by then              */
    bool stopped;    /* a stop string was found: pushing more gives nothing           */
} sl__text_stream;

/* Text that is ready to be shown. Borrowed until the next call on the stream. */
typedef struct sl__text {
    const char *bytes;
    size_t n;
} sl__text;

/* Memory for tokens of at most token_bytes_max bytes. */
size_t sl__text_stream_bytes(size_t token_bytes_max);

/* Start an empty text in memory [capacity], which the caller keeps. Asserts that the
 * stop strings are within the limits above and none is empty (the caller has checked
 * what a user gave). */
void sl__text_stream_init(sl__text_stream *ts, char *memory, size_t capacity,
                          const char *const *stop, int32_t n_stop);

/* Append the bytes of one token; asserts n <= capacity - SL_TEXT_HELD_MAX.
 * No allocation. O(n + stop strings' bytes). */
sl__text sl__text_stream_push(sl__text_stream *ts, const char *bytes, size_t n);

/* The text is over: whatever was held back is text after all. */
sl__text sl__text_stream_finish(sl__text_stream *ts);

#endif
