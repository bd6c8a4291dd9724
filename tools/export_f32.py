#!/usr/bin/env python3
"""Write the F32 export of a GGUF file: every tensor dequantised, all metadata kept.

Tensor names, shapes and order stay; only general.file_type becomes 0 (all F32), and
general.quantization_version goes, since nothing is quantised. The output is for exact
comparisons: the same weights for Hugging Face, llama.cpp and sluice.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from gguf import GGUFReader, GGUFValueType, GGUFWriter
from gguf.quants import dequantize

ARCHITECTURE, FILE_TYPE = "general.architecture", "general.file_type"
SKIPPED = {ARCHITECTURE, FILE_TYPE, "general.quantization_version", "general.alignment"}


def export(source: Path, target: Path) -> int:
    """Write target from source; returns the number of tensors."""
    reader = GGUFReader(source)
    writer = GGUFWriter(str(target), reader.fields[ARCHITECTURE].contents())
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name in SKIPPED:
            continue
        kind = field.types[0]
        item = field.types[-1] if kind == GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), kind, item)
    writer.add_file_type(0)
    for tensor in reader.tensors:
        values = np.asarray(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)
        shape = [int(n) for n in reversed(tensor.shape)]
        writer.add_tensor(tensor.name, np.ascontiguousarray(values.reshape(shape)))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return len(reader.tensors)


def main() -> None:
    """Export one file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    args = parser.parse_args()
    count = export(args.source, args.target)
    print(f"{args.target}: {count} tensors, {args.target.stat().st_size} bytes")


if __name__ == "__main__":
    main()
