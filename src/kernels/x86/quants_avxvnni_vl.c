/* quants_avxvnni_vl.c - quants_avxvnni.c in the encoding of AVX-512 VL, so that its arithmetic
 * runs, and is tested, where AVX-512 is and AVX-VNNI is not. */
#include "kernels/x86/quants_avxvnni.c" /* NOLINT(bugprone-suspicious-include) */
