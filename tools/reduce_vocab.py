#!/usr/bin/env python3
"""Reduce a vocabulary to what a set of texts needs, with the texts' ids renumbered.

    reduce_vocab.py FULL.gguf FULL.ids TEXTS.inp OUT.gguf OUT.ids

Kept are the tokens whose bytes occur anywhere in a text, the tokens for single bytes, those that are
not ordinary (up to a few of each kind that no text names), and every merge whose result is kept. Its
parts then are kept too. So the reduced vocabulary gives these texts the ids of the whole one, however
they are cut into words: a wrong pattern shows itself as it would in the whole vocabulary.

TEXTS.inp holds texts with a line __ggml_vocab_test__ between them, an .ids file a line of ids for each
(llama.cpp's format). The template of chats and other keys stay.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from vocab_gguf import (ARRAY, BYTE, NORMAL, STRING, UNUSED, read_gguf, unspell,
                        write_gguf)

SEPARATOR = b"\n__ggml_vocab_test__\n"
SPARE_MAX = 8 # not ordinary tokens, per kind, that no text names


def bytes_of(model: bytes, spelling: bytes, kind: int) -> bytes:
    if kind == BYTE:
        return bytes([int(spelling[3:5], 16)])
    if kind != NORMAL:
        return spelling
    return unspell(spelling) if model == b"gpt2" else spelling.replace("▁".encode(), b" ")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("full", "full_ids", "texts", "out", "out_ids"):
        parser.add_argument(name, type=Path)
    args = parser.parse_args()
    keys = read_gguf(args.full)
    model = keys["tokenizer.ggml.model"][1]
    tokens = keys["tokenizer.ggml.tokens"][1][1]
    kinds = keys["tokenizer.ggml.token_type"][1][1]
    texts = args.texts.read_bytes().split(SEPARATOR)
    lines = args.full_ids.read_text().split("\n")
    expected = [[int(i) for i in lines[t].split()] if t < len(lines) else [] for t in range(len(texts))]

    named = {i for ids in expected for i in ids}
    named |= {value for key, (kind, value) in keys.items() if key.endswith("_token_id")}
    haystack = b"\0\0".join(b" " + text for text in texts)
    kept, spare = [], {}
    for i, (spelling, kind) in enumerate(zip(tokens, kinds)):
        raw = bytes_of(model, spelling, kind)
        keep = i in named or len(raw) == 1 or kind == BYTE or (kind != UNUSED and raw and raw in haystack)
        if not keep and kind not in (NORMAL, UNUSED):
            spare[kind] = spare.get(kind, 0) + 1
            keep = spare[kind] <= SPARE_MAX
        if keep:
            kept.append(i)
    new_id = {old: new for new, old in enumerate(kept)}

    for key, (kind, value) in list(keys.items()):
        if key.endswith("_token_id"):
            keys[key] = (kind, new_id[value])
        elif kind == ARRAY and len(value[1]) == len(tokens):
            keys[key] = (kind, (value[0], [value[1][i] for i in kept]))
    spellings = {tokens[i] for i in kept}
    if "tokenizer.ggml.merges" in keys:
        merges = keys["tokenizer.ggml.merges"][1][1]
        kept_merges = []
        for merge in merges:
            space = merge.index(b" ", 1)
            left, right = merge[:space], merge[space + 1:]
            if left + right in spellings:
                if left not in spellings or right not in spellings:
                    raise ValueError(f"{args.full}: parts of {merge!r} are not kept")
                kept_merges.append(merge)
        keys["tokenizer.ggml.merges"] = (ARRAY, (STRING, kept_merges))
    write_gguf(args.out, keys)
    args.out_ids.write_text("".join(" ".join(str(new_id[i]) for i in ids) + "\n" for ids in expected))
    print(f"{args.out}: {len(kept)} of {len(tokens)} tokens, {args.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
