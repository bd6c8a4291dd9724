/* cpu.c - feature detection through the compiler's own cpuid tables. */
#define _GNU_SOURCE /* sched_getaffinity */
#include "runtime/cpu.h"

#include <sched.h>
#include <unistd.h>
#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

#if defined(__x86_64__)
#include <cpuid.h>
#endif

uint32_t sl__cpu_features(void) {
    uint32_t features = 0;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) features |= SL_CPU_AVX2;
    if (features && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512vnni"))
        features |= SL_CPU_AVX512;
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (features && __get_cpuid_count(7, 1, &a, &b, &c, &d) && a & 1u << 4)
        features |= SL_CPU_AVXVNNI; /* not a name that all compilers' tables have */
    if (__builtin_cpu_is("intel")) features |= SL_CPU_ASKING;
#elif defined(__aarch64__) && defined(__linux__)
    enum { HWCAP_ASIMDDP_BIT = 20 }; /* of the kernel's interface, asm/hwcap.h */
    if (getauxval(AT_HWCAP) >> HWCAP_ASIMDDP_BIT & 1) features |= SL_CPU_NEON_DOT;
#endif
    return features;
}

int32_t sl__cpu_cores(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        const int n = CPU_COUNT(&set);
        if (n > 0) return n;
    }
    const long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (int32_t)n : 1;
}

uint64_t sl__cpu_last_level_cache(void) {
#ifdef _SC_LEVEL3_CACHE_SIZE
    const int names[] = {_SC_LEVEL4_CACHE_SIZE, _SC_LEVEL3_CACHE_SIZE, _SC_LEVEL2_CACHE_SIZE};
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        const long bytes = sysconf(names[i]);
        if (bytes > 0) return (uint64_t)bytes;
    }
#endif
    return 0;
}
