/* bandwidth.h - the read bandwidth of this machine's memory. */
#ifndef SL_BANDWIDTH_H
#define SL_BANDWIDTH_H

#include <stdint.h>

#include "base/base.h"

/* Contract of sl_bench_bandwidth() (sluice/bench.h); threads >= 1, bytes >= 4096. */
sl_status sl__read_bandwidth(int32_t threads, uint64_t bytes, double *bytes_per_second,
                             sl_error *err);

#endif
