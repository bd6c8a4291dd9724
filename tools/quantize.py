#!/usr/bin/env python3
"""Quantise a GGUF file with llama.cpp's quantiser.

    quantize.py IN.gguf OUT.gguf TYPE

TYPE is one of llama.cpp's mixes, in lower case (q4_k_m, iq4_xs, mxfp4_moe, ...). Quantised input is
dequantised first. The smaller I-quants want an importance matrix: they get one of ones.
"""

from __future__ import annotations

import argparse
import ctypes
from pathlib import Path

import llama_cpp as c
import numpy as np
from gguf import GGUFReader

from common import die
import llama_peer  # silences llama.cpp

# llama.cpp's numbers (enum llama_ftype)
FILE_TYPES = {
    "q4_0": 2,
    "q4_1": 3,
    "q8_0": 7,
    "q5_0": 8,
    "q5_1": 9,
    "q2_k": 10,
    "q3_k_m": 12,
    "q4_k_m": 15,
    "q5_k_m": 17,
    "q6_k": 18,
    "iq2_xxs": 19,
    "iq2_xs": 20,
    "iq3_xxs": 23,
    "iq4_nl": 25,
    "iq3_s": 26,
    "iq2_s": 28,
    "iq2_m": 29,
    "iq4_xs": 30,
    "bf16": 32,
    "mxfp4_moe": 38,
}
NEED_IMPORTANCE = {"iq2_xxs", "iq2_xs", "iq2_s", "iq2_m", "iq3_xxs"}


def importance_of_ones(source: Path) -> tuple[ctypes.Array, list[np.ndarray]]:
    """Every column of every matrix counts the same: the table, and the arrays it points into.

    The last entry has no name, which is how llama.cpp finds the end.
    """
    tensors = [t for t in GGUFReader(source).tensors if len(t.shape) > 1]
    table = (c.llama_model_imatrix_data * (len(tensors) + 1))()
    arrays = []
    for entry, tensor in zip(table, tensors):
        experts = int(tensor.shape[2]) if len(tensor.shape) > 2 else 1
        arrays.append(np.ones(int(tensor.shape[0]) * experts, dtype=np.float32))
        entry.name = tensor.name.encode()
        entry.data = arrays[-1].ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        entry.size = arrays[-1].size
    return table, arrays


def quantize(source: Path, target: Path, kind: str, threads: int = 2) -> None:
    """Write target; leaves with an error if llama.cpp refuses."""
    params = c.llama_model_quantize_default_params()
    params.ftype, params.nthread = FILE_TYPES[kind], threads
    params.allow_requantize = True
    if kind in NEED_IMPORTANCE:
        table, _arrays = importance_of_ones(source)
        params.imatrix = ctypes.cast(table, ctypes.POINTER(c.llama_model_imatrix_data))
    if c.llama_model_quantize(str(source).encode(), str(target).encode(), params) != 0:
        die(f"llama.cpp cannot quantise {source} to {kind}")


def main() -> None:
    """Quantise one file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("type", choices=FILE_TYPES)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    quantize(args.source, args.target, args.type, args.threads)


if __name__ == "__main__":
    main()
