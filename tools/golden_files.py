#!/usr/bin/env python3
"""Write tests/golden/files/: the Mixtral of tests/golden/arch/ in files of other kinds.

    split-00001-of-00003.gguf ...   in three parts by the gguf package
    single_experts.gguf             one tensor per expert ("blk.0.ffn_up.3.weight"), as converters
                                    wrote Mixtral before April 2024; general.alignment is 64

Both hold the same numbers as arch/mixtral.gguf. The parts are also read by llama.cpp, which must
give the same logits for them as for the whole.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from gguf import GGUFReader, GGUFValueType, GGUFWriter

from common import GOLDEN, die

ARCHITECTURE, ALIGNMENT = "general.architecture", "general.alignment"
SOURCE = GOLDEN / "arch" / "mixtral.gguf"
TARGET = GOLDEN / "files"


def copy_keys(reader: GGUFReader, writer: GGUFWriter) -> None:
    """Every key but those the writer writes by itself."""
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name in (ARCHITECTURE, ALIGNMENT):
            continue
        kind = field.types[0]
        item = field.types[-1] if kind == GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), kind, item)


def finish(writer: GGUFWriter) -> None:
    """Write everything down."""
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def values(tensor) -> np.ndarray:
    """An F32 tensor's numbers, slowest dimension first."""
    shape = [int(n) for n in reversed(tensor.shape)]
    return np.ascontiguousarray(tensor.data, dtype=np.float32).reshape(shape)


def write_split(reader: GGUFReader, parts: int) -> Path:
    """The parts; returns the first one's path."""
    most = -(-len(reader.tensors) // parts)
    name = reader.fields[ARCHITECTURE].contents()
    writer = GGUFWriter(TARGET / "split.gguf", name, split_max_tensors=most)
    copy_keys(reader, writer)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, values(tensor))
    finish(writer)
    return TARGET / f"split-00001-of-{parts:05d}.gguf"


def write_single_experts(reader: GGUFReader) -> None:
    """Each expert's matrix under a name of its own."""
    writer = GGUFWriter(TARGET / "single_experts.gguf", reader.fields[ARCHITECTURE].contents())
    copy_keys(reader, writer)
    for tensor in reader.tensors:
        if "_exps." not in tensor.name:
            writer.add_tensor(tensor.name, values(tensor))
            continue
        for index, expert in enumerate(values(tensor)):
            writer.add_tensor(tensor.name.replace("_exps.", f".{index}."), expert)
    finish(writer)


def logits(path: Path) -> np.ndarray:
    """llama.cpp's for a few tokens."""
    from llama_peer import F32, Llama

    model = Llama(path, context=64, threads=1, cache_type=F32, flash_attention=False)
    rows = model.sequence_logits(list(range(20)))
    model.close()
    return rows


def main() -> None:
    """Write both, have the parts checked."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    TARGET.mkdir(exist_ok=True)
    reader = GGUFReader(SOURCE)
    first = write_split(reader, 3)
    write_single_experts(reader)
    if not np.array_equal(logits(first), logits(SOURCE)):
        die("llama.cpp reads other numbers from the parts")
    print(f"{TARGET}: written; llama.cpp reads the same from the parts as from the whole")


if __name__ == "__main__":
    main()
