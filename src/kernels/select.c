/* select.c - which table runs. */
#include <string.h>

#include "base/base.h"
#include "kernels/kernels.h"
#include "runtime/cpu.h"

/* Best first. A table is complete: where it has nothing better it names the function
 * of the next one. */
const sl__kernels *const sl__kernels_all[] = {
#if SL_HAVE_AVX512
    &sl__kernels_avx512_asking,
    &sl__kernels_avx512,
#endif
#if SL_HAVE_AVXVNNI
    &sl__kernels_avxvnni_asking,
    &sl__kernels_avxvnni,
#endif
#if SL_HAVE_AVX512
    &sl__kernels_avxvnni_vl_asking,
    &sl__kernels_avxvnni_vl,
#endif
#if SL_HAVE_AVX2
    &sl__kernels_avx2_asking,
    &sl__kernels_avx2,
#endif
#if SL_HAVE_NEON_DOT
    &sl__kernels_neon,
#endif
    &sl__kernels_scalar,
};
const int32_t sl__kernels_count = (int32_t)SL_COUNT(sl__kernels_all);

const sl__kernels *sl__kernels_select(uint32_t cpu, const char *name) {
    for (int32_t i = 0; i < sl__kernels_count; i++) {
        const sl__kernels *k = sl__kernels_all[i];
        if ((k->needs & ~cpu) == 0 && (!name || strcmp(name, k->name) == 0)) return k;
    }
    return NULL;
}
