/* number_list.c - walk the list once; digits only, so that "1..4" cannot be read as "1." */
#include "number_list.h"

#include <stddef.h>
#include <string.h>

/* Digits at text as a number up to max; what follows them, or NULL. */
static const char *parse_digits(const char *text, int32_t max, int32_t *out) {
    const char *begin = text;
    int64_t value = 0;
    for (; *text >= '0' && *text <= '9'; text++) {
        value = 10 * value + (*text - '0');
        if (value > max) return NULL;
    }
    *out = (int32_t)value;
    return text > begin ? text : NULL;
}

bool cli_parse_numbers(const char *text, int32_t min, int32_t max, cli_numbers *out) {
    cli_numbers list = {.n = 0};
    for (;;) {
        int32_t first, last;
        text = parse_digits(text, max, &first);
        last = first;
        if (text && strncmp(text, "..", 2) == 0) text = parse_digits(text + 2, max, &last);
        if (!text || first < min || last < first || last - first >= CLI_NUMBERS_MAX - list.n)
            return false;
        for (int32_t i = first; i <= last; i++)
            list.items[list.n++] = i;
        if (*text != ',') break;
        text++;
    }
    if (*text != '\0') return false;
    *out = list;
    return true;
}
