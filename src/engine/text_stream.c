/* text_stream.c - hold back exactly what later bytes could still change. */
#include "engine/text_stream.h"

#include <string.h>

#include "base/base.h"

size_t sl__text_stream_bytes(size_t token_bytes_max) {
    return SL_TEXT_HELD_MAX + token_bytes_max;
}

void sl__text_stream_init(sl__text_stream *ts, char *memory, size_t capacity,
                          const char *const *stop, int32_t n_stop) {
    SL_ASSERT(n_stop >= 0 && n_stop <= SL_STOP_STRINGS_MAX);
    SL_ASSERT(capacity >= SL_TEXT_HELD_MAX);
    *ts = (sl__text_stream){.n_stop = n_stop, .buffer = memory, .capacity = capacity};
    for (int32_t i = 0; i < n_stop; i++) {
        ts->stop[i] = stop[i];
        ts->stop_bytes[i] = strlen(stop[i]);
        SL_ASSERT(ts->stop_bytes[i] >= 1 && ts->stop_bytes[i] <= SL_STOP_BYTES_MAX);
        if (ts->stop_bytes[i] > ts->stop_bytes_max) ts->stop_bytes_max = ts->stop_bytes[i];
    }
}

/* ---- UTF-8 ---------------------------------------------------------------- */

/* Bytes of the character that starts at text[0], 1 for a byte that cannot belong to
 * one, 0 if that depends on bytes after text[0 .. n). The ranges are those of the
 * Unicode Standard, table 3-7: no overlong form, no surrogate, at most U+10FFFF. */
static size_t character_bytes(const unsigned char *text, size_t n) {
    const unsigned char lead = text[0];
    if (lead < 0xC2 || lead > 0xF4) return 1; /* ASCII, or never a lead byte */

    const size_t want = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    const unsigned char second_min = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    const unsigned char second_max = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    for (size_t i = 1; i < want; i++) {
        if (i == n) return 0;
        const unsigned char min = i == 1 ? second_min : 0x80;
        const unsigned char max = i == 1 ? second_max : 0xBF;
        if (text[i] < min || text[i] > max) return 1;
    }
    return want;
}

/* Largest boundary between characters that is <= limit, given all of text [n]. */
static size_t last_boundary(const char *text, size_t n, size_t limit) {
    size_t at = 0;
    while (at < limit) {
        const size_t step = character_bytes((const unsigned char *)text + at, n - at);
        if (step == 0 || at + step > limit) break;
        at += step;
    }
    return at;
}

/* ---- stop strings ------------------------------------------------------------ */

/* Longest stop string that ends text [n], in bytes; 0 if none does. */
static size_t completed_stop(const sl__text_stream *ts, const char *text, size_t n) {
    size_t longest = 0;
    for (int32_t i = 0; i < ts->n_stop; i++) {
        const size_t bytes = ts->stop_bytes[i];
        if (bytes <= longest || bytes > n) continue;
        if (memcmp(text + n - bytes, ts->stop[i], bytes) == 0) longest = bytes;
    }
    return longest;
}

/* Longest end of text [n] that begins a stop string, in bytes; 0 if none does. */
static size_t begun_stop(const sl__text_stream *ts, const char *text, size_t n) {
    if (ts->stop_bytes_max == 0) return 0;
    size_t bytes = ts->stop_bytes_max - 1;
    if (bytes > n) bytes = n;
    for (; bytes > 0; bytes--)
        for (int32_t i = 0; i < ts->n_stop; i++)
            if (bytes < ts->stop_bytes[i] && memcmp(text + n - bytes, ts->stop[i], bytes) == 0)
                return bytes;
    return 0;
}

/* ---- the stream ---------------------------------------------------------------- */

static sl__text hand_out(sl__text_stream *ts, size_t n) {
    const sl__text ready = {ts->buffer + ts->begin, n};
    ts->begin += n;
    return ready;
}

sl__text sl__text_stream_push(sl__text_stream *ts, const char *bytes, size_t n) {
    if (ts->stopped) return (sl__text){ts->buffer, 0};

    if (n > 0 && ts->skip_space) {
        ts->skip_space = false;
        if (bytes[0] == ' ') {
            bytes++;
            n--;
        }
    }
    const size_t held = ts->end - ts->begin;
    SL_ASSERT(held <= SL_TEXT_HELD_MAX && n <= ts->capacity - SL_TEXT_HELD_MAX);
    memmove(ts->buffer, ts->buffer + ts->begin, held);
    if (n > 0) memcpy(ts->buffer + held, bytes, n);
    ts->begin = 0;
    ts->end = held + n;

    for (size_t end = held + 1; end <= ts->end; end++) {
        const size_t stop = completed_stop(ts, ts->buffer, end);
        if (stop == 0) continue;
        ts->stopped = true;
        ts->end = end - stop;
        return hand_out(ts, ts->end);
    }
    const size_t undecided = begun_stop(ts, ts->buffer, ts->end);
    return hand_out(ts, last_boundary(ts->buffer, ts->end, ts->end - undecided));
}

sl__text sl__text_stream_finish(sl__text_stream *ts) {
    return hand_out(ts, ts->end - ts->begin);
}
