#!/usr/bin/env python3
"""Write a vocabulary-only GGUF file from the files that tokenizers are published in.

    vocab_gguf.py qwen.tiktoken out.gguf --pre qwen2
    vocab_gguf.py tokenizer.json out.gguf --pre olmo
    vocab_gguf.py llama3_merges.vocab.bpe out.gguf --pre llama-bpe
    vocab_gguf.py tokenizer.model out.gguf            (sentencepiece BPE)

The kind of file is told by its name's end. A .tiktoken file lists tokens by rank; the merge that makes
a token is what merging its bytes by rank ends in, two parts. A .vocab.bpe file lists merges, whose
tokens are the 256 bytes and one for each merge. Special tokens that are not in the file are not added.
Needs nothing but Python; ggufs are read and written by the functions here.
"""

from __future__ import annotations

import argparse
import base64
import json
import struct
from pathlib import Path

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9


# ---- GGUF: keys as {name: (type, value)}, arrays as {name: (9, (element type, list))}; strings are bytes

def read_gguf(path: Path) -> dict[str, tuple]:
    data, at = path.read_bytes(), 24
    magic, version, _, n_keys = struct.unpack_from("<4sIQQ", data)
    if magic != b"GGUF" or version < 2:
        raise ValueError(f"{path}: not a GGUF file of version 2 or 3")

    def string():
        nonlocal at
        (n,) = struct.unpack_from("<Q", data, at)
        at += 8 + n
        return data[at - n:at]

    def value(kind):
        nonlocal at
        if kind == STRING:
            return string()
        if kind == ARRAY:
            element, n = struct.unpack_from("<IQ", data, at)
            at += 12
            return element, [value(element) for _ in range(n)]
        code = "<" + SCALARS[kind]
        (result,) = struct.unpack_from(code, data, at)
        at += struct.calcsize(code)
        return result

    keys = {}
    for _ in range(n_keys):
        name = string().decode()
        (kind,) = struct.unpack_from("<I", data, at)
        at += 4
        keys[name] = (kind, value(kind))
    return keys


def write_gguf(path: Path, keys: dict[str, tuple]) -> None:
    out = bytearray(struct.pack("<4sIQQ", b"GGUF", 3, 0, len(keys)))

    def put(kind, value):
        if kind == STRING:
            out.extend(struct.pack("<Q", len(value)) + value)
        elif kind == ARRAY:
            element, values = value
            out.extend(struct.pack("<IQ", element, len(values)))
            for v in values:
                put(element, v)
        else:
            out.extend(struct.pack("<" + SCALARS[kind], value))

    for name, (kind, value) in keys.items():
        put(STRING, name.encode())
        out.extend(struct.pack("<I", kind))
        put(kind, value)
    out.extend(bytes(-len(out) % 32))
    path.write_bytes(bytes(out))


def vocabulary(model: str, tokens: list[bytes], kinds: list[int], **more) -> dict[str, tuple]:
    keys = {"general.architecture": (STRING, b"llama"),
            "tokenizer.ggml.model": (STRING, model.encode()),
            "tokenizer.ggml.tokens": (ARRAY, (STRING, tokens)),
            "tokenizer.ggml.token_type": (ARRAY, (5, kinds))}
    if more.get("pre"):
        keys["tokenizer.ggml.pre"] = (STRING, more["pre"].encode())
    if more.get("merges") is not None:
        keys["tokenizer.ggml.merges"] = (ARRAY, (STRING, more["merges"]))
    if more.get("scores") is not None:
        keys["tokenizer.ggml.scores"] = (ARRAY, (6, more["scores"]))
    return keys


# ---- byte-level characters

def _characters() -> list[str]:
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = iter(range(0x100, 0x200))
    return [chr(b) if b in printable else chr(next(others)) for b in range(256)]


CHARACTERS = _characters()
BYTE_OF = {c: b for b, c in enumerate(CHARACTERS)}


def spell(token: bytes) -> bytes:
    return "".join(CHARACTERS[b] for b in token).encode()


def unspell(spelling: bytes) -> bytes:
    text = spelling.decode()
    return bytes(BYTE_OF[c] for c in text) if all(c in BYTE_OF for c in text) else spelling


# ---- the kinds of file

def from_tiktoken(path: Path, pre: str) -> dict[str, tuple]:
    ranks = {}
    for line in path.read_bytes().splitlines():
        token, rank = line.split()
        ranks[base64.b64decode(token)] = int(rank)
    tokens = sorted(ranks, key=ranks.get)
    if [ranks[t] for t in tokens] != list(range(len(tokens))):
        raise ValueError(f"{path}: ranks are not 0, 1, 2, ...")
    merges = []
    for token in tokens:
        parts = [token[i:i + 1] for i in range(len(token))]
        while len(parts) > 2: # the parts that merges of lower rank leave
            pairs = [(ranks.get(parts[i] + parts[i + 1], len(ranks)), i) for i in range(len(parts) - 1)]
            rank, i = min(pairs)
            if rank >= ranks[token]:
                break
            parts[i:i + 2] = [parts[i] + parts[i + 1]]
        if len(parts) == 2:
            merges.append(spell(parts[0]) + b" " + spell(parts[1]))
    return vocabulary("gpt2", [spell(t) for t in tokens], [NORMAL] * len(tokens), pre=pre, merges=merges)


def from_tokenizer_json(path: Path, pre: str) -> dict[str, tuple]:
    data = json.loads(path.read_text(encoding="utf-8"))
    ids = dict(data["model"]["vocab"])
    kinds = {}
    for added in data["added_tokens"]:
        ids[added["content"]] = added["id"]
        kinds[added["id"]] = CONTROL if added["special"] else USER_DEFINED
    tokens = [b""] * (max(ids.values()) + 1)
    for text, i in ids.items():
        tokens[i] = text.encode()
    merges = [m if isinstance(m, str) else " ".join(m) for m in data["model"]["merges"]]
    types = [kinds.get(i, NORMAL if t else UNUSED) for i, t in enumerate(tokens)]
    return vocabulary("gpt2", tokens, types, pre=pre, merges=[m.encode() for m in merges])


def from_merges(path: Path, pre: str) -> dict[str, tuple]:
    lines = path.read_text(encoding="utf-8").split("\n")
    merges = [line for line in lines if line and not line.startswith("#version")]
    order = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    order += [b for b in range(256) if b not in order]
    tokens = [CHARACTERS[b] for b in order]
    known = set(tokens)
    for merge in merges:
        token = merge.replace(" ", "")
        if token not in known: # a token may be made in several ways
            known.add(token)
            tokens.append(token)
    return vocabulary("gpt2", [t.encode() for t in tokens], [NORMAL] * len(tokens), pre=pre,
                      merges=[m.encode() for m in merges])


def _fields(data: bytes):
    """Fields of a protocol buffer message: (number, value)."""
    at = 0

    def varint():
        nonlocal at
        result = shift = 0
        while True:
            byte = data[at]
            at += 1
            result |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return result

    while at < len(data):
        key = varint()
        wire = key & 7
        if wire == 0:
            yield key >> 3, varint()
        elif wire == 2:
            n = varint()
            at += n
            yield key >> 3, data[at - n:at]
        else:
            n = {1: 8, 5: 4}[wire]
            at += n
            yield key >> 3, data[at - n:at]


def from_sentencepiece(path: Path, pre: str) -> dict[str, tuple]:
    tokens, scores, kinds, prefix = [], [], [], True
    for number, value in _fields(path.read_bytes()):
        if number == 1: # ModelProto.pieces
            piece = dict(_fields(value))
            tokens.append(piece[1])
            scores.append(struct.unpack("<f", piece.get(2, bytes(4)))[0])
            kinds.append(piece.get(3, NORMAL))
        elif number == 3: # ModelProto.normalizer_spec
            prefix = bool(dict(_fields(value)).get(3, 1))
    keys = vocabulary("llama", tokens, kinds, scores=scores)
    keys["tokenizer.ggml.add_space_prefix"] = (7, prefix)
    return keys


READERS = {".tiktoken": from_tiktoken, ".json": from_tokenizer_json, ".bpe": from_merges,
           ".model": from_sentencepiece}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--pre", help="tokenizer.ggml.pre, for byte-level BPE")
    args = parser.parse_args()
    reader = READERS.get(args.source.suffix)
    if not reader:
        parser.error(f"{args.source}: expected a name that ends in {', '.join(READERS)}")
    if not args.pre and reader is not from_sentencepiece:
        parser.error("--pre is needed for byte-level BPE")
    write_gguf(args.out, reader(args.source, args.pre))


if __name__ == "__main__":
    main()
