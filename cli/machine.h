/* machine.h - what the commands know about the computer they run on.
 *
 * The read bandwidth is measured by `sluice bench` alone and remembered in the user's
 * cache folder, sluice/bandwidth.json, by CPU model and number of threads. */
#ifndef SL_CLI_MACHINE_H
#define SL_CLI_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "AMD EPYC 7B13", or "unknown CPU". */
void cli_cpu_name(char *name, size_t size);

/* Bytes of the last-level cache, or 0 if the system does not say. */
uint64_t cli_last_level_cache(void);

/* Remembered read bandwidth in bytes per second, or 0 if it was never measured. */
double cli_bandwidth_load(int32_t threads);

/* Remember a measurement. Best effort: false if it could not be written. */
bool cli_bandwidth_store(int32_t threads, double bytes_per_second);

#endif
