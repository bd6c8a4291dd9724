/* convert.h - between float and the 16-bit formats, one value at a time.
 *
 * The meaning of F16 and BF16 in this project: conversion to float is exact, to F16
 * is round-to-nearest-even with overflow to infinity, as the hardware does it. */
#ifndef SL_CONVERT_H
#define SL_CONVERT_H

#include <stdint.h>

float sl__half_to_float(uint16_t half);
uint16_t sl__float_to_half(float value);
float sl__bf16_to_float(uint16_t bf16);

/* Half of the power of two an OCP E8M0 scale stands for: 2^(exponent - 128). 255 is no
 * exception here, as it is none elsewhere. */
float sl__e8m0_half_to_float(uint8_t exponent);

#endif
