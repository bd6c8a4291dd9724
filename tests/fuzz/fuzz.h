/* fuzz.h - what a fuzz target is, and the check it uses.
 *
 * A target is run by libFuzzer (clang, -fsanitize=fuzzer) or, without it, by fuzz_main.c
 * over files named on the command line: a crash found elsewhere can be replayed with any
 * compiler, and the corpus is a test everywhere. */
#ifndef SL_FUZZ_H
#define SL_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(condition)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                  \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

#endif
