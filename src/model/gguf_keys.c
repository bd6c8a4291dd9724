/* gguf_keys.c - typed access to the keys of a parsed file.
 *
 * Parsing has shown that every value lies inside the file; here its type and range are
 * checked against what the caller can use. Values are unaligned: they are assembled
 * from bytes. */
#include "model/gguf.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "base/base.h"
#include "model/gguf_private.h"

/* ---- failing ---- */

sl_status sl__gguf_fail_key(const sl__gguf *g, const char *key, sl_error *err, const char *format,
                            ...) {
    const sl__gguf_key *found = sl__gguf_find_key(g, key);
    const sl__gguf_subject subject = {"key", key, (int)strlen(key)};
    va_list args;
    va_start(args, format);
    const sl_status status =
        sl__gguf_fail_at(g, subject, found ? found->at : SL_NOWHERE, err, format, args);
    va_end(args);
    return status;
}

sl_status sl__gguf_fail_value(const sl__gguf *g, const char *key, const void *value, sl_error *err,
                              const char *format, ...) {
    const sl__gguf_subject subject = {"key", key, (int)strlen(key)};
    const uint64_t at = (uint64_t)((const unsigned char *)value - g->bytes);
    va_list args;
    va_start(args, format);
    const sl_status status = sl__gguf_fail_at(g, subject, at, err, format, args);
    va_end(args);
    return status;
}

sl_status sl__gguf_fail_tensor(const sl__gguf *g, const sl__gguf_tensor *tensor, sl_error *err,
                               const char *format, ...) {
    const sl__gguf_subject subject = {"tensor", tensor->name, (int)strlen(tensor->name)};
    va_list args;
    va_start(args, format);
    const sl_status status = sl__gguf_fail_at(sl__gguf_part(g, tensor->part), subject,
                                              tensor->record_at, err, format, args);
    va_end(args);
    return status;
}

static sl_status fail_missing(const sl__gguf *g, const char *key, sl_error *err) {
    return sl__gguf_fail_key(g, key, err, "missing");
}

static sl_status fail_type(const sl__gguf *g, const sl__gguf_key *found, const char *key,
                           const char *expected, sl_error *err) {
    const bool array = found->type == SL_GGUF_ARRAY;
    return sl__gguf_fail_key(g, key, err, "%s%s, expected %s", array ? "an array of " : "type ",
                             sl__gguf_type_name(found->element), expected);
}

/* ---- numbers from bytes ---- */

/* Any integer type as i64. An u64 above INT64_MAX saturates: no caller's range, all
 * i32, gets there. False: the type is no integer. */
static bool load_int(uint32_t type, const unsigned char *p, int64_t *out) {
    switch (type) {
    case SL_GGUF_U8:
        *out = p[0];
        return true;
    case SL_GGUF_I8:
        *out = p[0] - (p[0] > INT8_MAX ? 256 : 0);
        return true;
    case SL_GGUF_U16:
        *out = (uint16_t)(p[0] | p[1] << 8);
        return true;
    case SL_GGUF_I16:
        *out = (int16_t)(uint16_t)(p[0] | p[1] << 8);
        return true;
    case SL_GGUF_U32:
        *out = sl__load_u32(p);
        return true;
    case SL_GGUF_I32:
        *out = (int32_t)sl__load_u32(p);
        return true;
    case SL_GGUF_U64: {
        const uint64_t value = sl__load_u64(p);
        *out = value > INT64_MAX ? INT64_MAX : (int64_t)value;
        return true;
    }
    case SL_GGUF_I64:
        *out = (int64_t)sl__load_u64(p);
        return true;
    default:
        return false;
    }
}

static bool load_float(uint32_t type, const unsigned char *p, float *out) {
    if (type == SL_GGUF_F32) {
        const uint32_t bits = sl__load_u32(p);
        memcpy(out, &bits, sizeof bits);
        return true;
    }
    if (type == SL_GGUF_F64) {
        const uint64_t bits = sl__load_u64(p);
        double value;
        memcpy(&value, &bits, sizeof bits);
        /* outside float's range the conversion is undefined in C */
        *out = fabs(value) <= (double)3.402823466e38f ? (float)value : (float)NAN;
        return true;
    }
    return false;
}

static sl__gguf_string load_string(const unsigned char *p) {
    return (sl__gguf_string){(const char *)p + 8, (size_t)sl__load_u64(p)};
}

/* ---- scalars ---- */

sl_status sl__gguf_i32(const sl__gguf *g, const char *key, int32_t lo, int32_t hi, int32_t *out,
                       sl_error *err) {
    int64_t value = 0;
    const sl__gguf_key *found = sl__gguf_find_key(g, key);
    if (!found) return fail_missing(g, key, err);
    if (!load_int(found->type, found->value, &value))
        return fail_type(g, found, key, "an integer", err);
    if (value < lo || value > hi)
        return sl__gguf_fail_key(g, key, err, "%" PRId64 ", expected %" PRId32 " .. %" PRId32,
                                 value, lo, hi);
    *out = (int32_t)value;
    return SL_OK;
}

sl_status sl__gguf_i32_or(const sl__gguf *g, const char *key, int32_t fallback, int32_t lo,
                          int32_t hi, int32_t *out, sl_error *err) {
    if (sl__gguf_find_key(g, key)) return sl__gguf_i32(g, key, lo, hi, out, err);
    *out = fallback;
    return SL_OK;
}

sl_status sl__gguf_f32(const sl__gguf *g, const char *key, float lo, float hi, float *out,
                       sl_error *err) {
    float value = 0.0f;
    const sl__gguf_key *found = sl__gguf_find_key(g, key);
    if (!found) return fail_missing(g, key, err);
    if (!load_float(found->type, found->value, &value))
        return fail_type(g, found, key, "a floating-point number", err);
    if (!(value >= lo && value <= hi) || !isfinite(value)) /* NaN fails too */
        return sl__gguf_fail_key(g, key, err, "%g, expected %g .. %g", (double)value, (double)lo,
                                 (double)hi);
    *out = value;
    return SL_OK;
}

sl_status sl__gguf_f32_or(const sl__gguf *g, const char *key, float fallback, float lo, float hi,
                          float *out, sl_error *err) {
    if (sl__gguf_find_key(g, key)) return sl__gguf_f32(g, key, lo, hi, out, err);
    *out = fallback;
    return SL_OK;
}

sl_status sl__gguf_bool_or(const sl__gguf *g, const char *key, bool fallback, bool *out,
                           sl_error *err) {
    const sl__gguf_key *found = sl__gguf_find_key(g, key);
    if (!found) {
        *out = fallback;
        return SL_OK;
    }
    if (found->type != SL_GGUF_BOOL) return fail_type(g, found, key, "a BOOL", err);
    if (found->value[0] > 1)
        return sl__gguf_fail_key(g, key, err, "%d, expected 0 or 1", found->value[0]);
    *out = found->value[0] != 0;
    return SL_OK;
}

sl_status sl__gguf_str(const sl__gguf *g, const char *key, sl__gguf_string *out, sl_error *err) {
    const sl__gguf_key *found = sl__gguf_find_key(g, key);
    if (!found) return fail_missing(g, key, err);
    if (found->type != SL_GGUF_STRING) return fail_type(g, found, key, "a STRING", err);
    *out = load_string(found->value);
    return SL_OK;
}

sl_status sl__gguf_str_or_empty(const sl__gguf *g, const char *key, sl__gguf_string *out,
                                sl_error *err) {
    if (sl__gguf_find_key(g, key)) return sl__gguf_str(g, key, out, err);
    *out = (sl__gguf_string){"", 0};
    return SL_OK;
}

bool sl__gguf_string_is(sl__gguf_string string, const char *text) {
    return strlen(text) == string.n && memcmp(text, string.bytes, string.n) == 0;
}

/* ---- arrays ---- */

sl_status sl__gguf_strs(const sl__gguf *g, const char *key, sl__gguf_array *out, sl_error *err) {
    const sl__gguf_key *found = sl__gguf_find_key(g, key);
    if (!found) return fail_missing(g, key, err);
    if (found->type != SL_GGUF_ARRAY || found->element != SL_GGUF_STRING)
        return fail_type(g, found, key, "an array of STRING", err);
    *out = (sl__gguf_array){found->value, found->count, found->element};
    return SL_OK;
}

sl_status sl__gguf_strs_or_empty(const sl__gguf *g, const char *key, sl__gguf_array *out,
                                 sl_error *err) {
    if (sl__gguf_find_key(g, key)) return sl__gguf_strs(g, key, out, err);
    *out = (sl__gguf_array){NULL, 0, SL_GGUF_STRING};
    return SL_OK;
}

sl_status sl__gguf_i32s_or_empty(const sl__gguf *g, const char *key, int32_t lo, int32_t hi,
                                 sl__gguf_array *out, sl_error *err) {
    const sl__gguf_key *found = sl__gguf_find_key(g, key);
    if (!found) {
        *out = (sl__gguf_array){NULL, 0, SL_GGUF_I32};
        return SL_OK;
    }
    const uint32_t size = sl__gguf_type_size(found->element);
    for (uint64_t i = 0; i < found->count; i++) {
        int64_t value = 0;
        if (found->type != SL_GGUF_ARRAY ||
            !load_int(found->element, found->value + i * size, &value))
            return fail_type(g, found, key, "an array of integers", err);
        if (value < lo || value > hi)
            return sl__gguf_fail_key(
                g, key, err, "element %" PRIu64 " is %" PRId64 ", expected %" PRId32 " .. %" PRId32,
                i, value, lo, hi);
    }
    *out = (sl__gguf_array){found->value, found->count, found->element};
    return SL_OK;
}

sl_status sl__gguf_f32s_or_empty(const sl__gguf *g, const char *key, sl__gguf_array *out,
                                 sl_error *err) {
    const sl__gguf_key *found = sl__gguf_find_key(g, key);
    if (!found) {
        *out = (sl__gguf_array){NULL, 0, SL_GGUF_F32};
        return SL_OK;
    }
    const uint32_t size = sl__gguf_type_size(found->element);
    for (uint64_t i = 0; i < found->count; i++) {
        float value = 0.0f;
        if (found->type != SL_GGUF_ARRAY ||
            !load_float(found->element, found->value + i * size, &value))
            return fail_type(g, found, key, "an array of floating-point numbers", err);
        if (!isfinite(value))
            return sl__gguf_fail_key(g, key, err,
                                     "element %" PRIu64 " is %g, expected a finite "
                                     "number",
                                     i, (double)value);
    }
    *out = (sl__gguf_array){found->value, found->count, found->element};
    return SL_OK;
}

sl__gguf_string sl__gguf_next_string(sl__gguf_array *strings) {
    SL_ASSERT(strings->n > 0 && strings->type == SL_GGUF_STRING);
    const sl__gguf_string string = load_string(strings->next);
    strings->next += 8 + string.n;
    strings->n--;
    return string;
}

int32_t sl__gguf_i32_at(const sl__gguf_array *numbers, uint64_t i) {
    int64_t value = 0;
    SL_ASSERT(i < numbers->n);
    const bool is_int =
        load_int(numbers->type, numbers->next + i * sl__gguf_type_size(numbers->type), &value);
    SL_ASSERT(is_int);
    return (int32_t)value;
}

float sl__gguf_f32_at(const sl__gguf_array *numbers, uint64_t i) {
    float value = 0.0f;
    SL_ASSERT(i < numbers->n);
    const bool is_float =
        load_float(numbers->type, numbers->next + i * sl__gguf_type_size(numbers->type), &value);
    SL_ASSERT(is_float);
    return value;
}
