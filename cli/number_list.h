/* number_list.h - several numbers in one option: 1,2,4,8 or 1..16 or both. */
#ifndef SL_CLI_NUMBER_LIST_H
#define SL_CLI_NUMBER_LIST_H

#include <stdbool.h>
#include <stdint.h>

enum { CLI_NUMBERS_MAX = 32 };

typedef struct cli_numbers {
    int32_t items[CLI_NUMBERS_MAX];
    int32_t n;
} cli_numbers;

/* Whole text: numbers in min .. max and ranges of them, separated by commas, in their order.
 * False, and *out as it was, if it is anything else or more than CLI_NUMBERS_MAX of them. */
bool cli_parse_numbers(const char *text, int32_t min, int32_t max, cli_numbers *out);

#endif
