/* cpu.h - what this processor can run, and how many of it there are. */
#ifndef SL_CPU_H
#define SL_CPU_H

#include <stdint.h>

enum {
    SL_CPU_AVX2 = 1 << 0,     /* with FMA and F16C: no chip has one without the others */
    SL_CPU_AVX512 = 1 << 1,   /* F, BW, DQ, VL and VNNI together (Ice Lake, Zen 4)     */
    SL_CPU_NEON_DOT = 1 << 2, /* Arm with the dot product instructions (2018 and later) */
    SL_CPU_AVXVNNI = 1 << 3,  /* VNNI of 256 bits beside AVX2 (Alder Lake, Zen 5)      */
    SL_CPU_ASKING = 1 << 4,   /* Intel: products ask for lines ahead (kernels/walk.h)    */
};

/* SL_CPU_* bits, including that the operating system saves the registers. */
uint32_t sl__cpu_features(void);

/* Cores this process may use, at least 1. */
int32_t sl__cpu_cores(void);

/* Bytes of the largest cache of core 0, or 0 if unknown. */
uint64_t sl__cpu_last_level_cache(void);

#endif
