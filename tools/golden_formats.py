#!/usr/bin/env python3
"""Golden blocks of every quantised tensor type: bytes, and the numbers they stand for.

    python tools/golden_formats.py [-o tests/golden/formats.bin]

The numbers are those of the `gguf` package (its NumPy implementation of ggml's formats).
Blocks are random bytes with finite scales, then one of all zeros and one of all ones
beside its scales. The layout of the file is in tests/golden/README.md.
"""

import argparse
import pathlib
import struct

import gguf
import numpy as np

SEED = 20260930
NUMBERS = 1536  # per type, at least

# Type: where its half-precision scales are.
HALVES = {
    "F16": None,
    "BF16": None,
    "Q8_0": [0],
    "Q4_0": [0],
    "Q4_1": [0, 2],
    "Q5_0": [0],
    "Q5_1": [0, 2],
    "IQ4_NL": [0],
    "MXFP4": [],
    "Q2_K": [80, 82],
    "Q3_K": [108],
    "Q4_K": [0, 2],
    "Q5_K": [0, 2],
    "Q6_K": [208],
    "IQ4_XS": [0],
    "IQ2_XXS": [0],
    "IQ2_XS": [0],
    "IQ2_S": [0],
    "IQ3_XXS": [0],
    "IQ3_S": [0],
}


def finite_halves(rng, n):
    """Any sign, any exponent but the last: subnormal numbers and zeros too."""
    bits = rng.integers(0, 31 << 10, n, dtype=np.uint16) | (
        rng.integers(0, 2, n, dtype=np.uint16) << 15
    )
    return bits.astype(np.uint16).view(np.uint8).reshape(n, 2)


def random_blocks(rng, name):
    columns, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]]
    n = NUMBERS // columns
    if HALVES[name] is None:  # 16-bit floats
        if name == "F16":
            return finite_halves(rng, n)
        return (rng.standard_normal(n).astype(np.float32).view(np.uint32) >> 16).astype(
            np.uint16
        ).view(np.uint8).reshape(n, 2)
    blocks = rng.integers(0, 256, (n, size), dtype=np.uint8)
    blocks[-2] = 0
    blocks[-1] = 255
    if name == "MXFP4":
        blocks[:, 0] %= 252  # 12 * 2^(251 - 128) is finite
    for at in HALVES[name]:
        blocks[:, at : at + 2] = finite_halves(rng, n)
    return blocks


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", default="tests/golden/formats.bin", type=pathlib.Path)
    args = parser.parse_args()
    rng = np.random.default_rng(SEED)
    out = [b"SLFORMT1", struct.pack("<I", len(HALVES))]
    for name in HALVES:
        blocks = random_blocks(rng, name)
        kind = gguf.GGMLQuantizationType[name]
        numbers = gguf.quants.dequantize(blocks.reshape(1, -1), kind).astype("<f4").ravel()
        assert np.isfinite(numbers).all()
        data = blocks.tobytes()
        out.append(name.encode().ljust(16, b"\0"))
        out.append(struct.pack("<II", len(data), numbers.size))
        out.append(data + b"\0" * (-len(data) % 4))
        out.append(numbers.tobytes())
    args.o.write_bytes(b"".join(out))
    print(f"{args.o}: {sum(map(len, out))} bytes, {len(HALVES)} types, gguf {gguf_version()}")


def gguf_version():
    import importlib.metadata

    return importlib.metadata.version("gguf")


if __name__ == "__main__":
    main()
