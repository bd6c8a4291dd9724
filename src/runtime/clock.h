/* clock.h - the one clock: monotonic nanoseconds. */
#ifndef SL_CLOCK_H
#define SL_CLOCK_H

#include <stdint.h>

/* Monotonic time. On Linux this is a read of shared memory, not a system call. */
uint64_t sl__now_ns(void);

#endif
