#!/usr/bin/env python3
"""Write tests/golden/vocab/llama-bpe.{gguf,ids}: a vocabulary of our own behind Llama 3's pre-tokenizer.

Llama 3's vocabulary has Llama 3's licence, its pattern is a fact. So byte-level BPE is trained here,
on the vectors' texts and on the prompts that this project's generator wrote, cut by that pattern; and
the ids of the texts are llama.cpp's. Llama 3 looks a whole word up before it merges: so the most
frequent words that merges leave in parts are tokens, too, which no merge makes.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import regex

from common import GOLDEN, PROMPTS, byte_decoder, read_jsonl
from llama_peer import Llama
from vocab_gguf import NORMAL, spell, vocabulary, write_gguf

PATTERN = regex.compile(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SEPARATOR = "\n__ggml_vocab_test__\n"
N_MERGES, N_WORDS = 600, 60

Word = tuple[bytes, ...]


def joined(word: Word, pair: tuple[bytes, bytes]) -> Word:
    """The word with every occurrence of the pair, from the left, made one part."""
    out: list[bytes] = []
    for part in word:
        if out and (out[-1], part) == pair:
            out[-1] += part
        else:
            out.append(part)
    return tuple(out)


def train(texts: list[str], n_merges: int) -> tuple[list[tuple[bytes, bytes]], Counter[Word]]:
    """The merges, most frequent pair first (ties: smaller bytes), and the words they leave."""
    pieces = (piece.encode() for text in texts for piece in PATTERN.findall(text))
    words: Counter[Word] = Counter(tuple(bytes([b]) for b in piece) for piece in pieces)
    merges = []
    for _ in range(n_merges):
        pairs: Counter[tuple[bytes, bytes]] = Counter()
        for word, count in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += count
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        left: Counter[Word] = Counter()
        for word, count in words.items():
            left[joined(word, best)] += count
        words = left
    return merges, words


def main() -> None:
    """Train, write, and let llama.cpp tokenize."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=GOLDEN / "vocab")
    args = parser.parse_args()
    vectors = (args.out / "texts.inp").read_bytes().decode().split(SEPARATOR)
    own = [r["text"] for r in read_jsonl(PROMPTS) if r["id"].startswith(("generated/", "showcase/"))]
    merges, words = train(own + 4 * vectors, N_MERGES)
    whole = [b"".join(w) for w, _ in words.most_common() if len(w) > 2][:N_WORDS]

    tokens = [bytes([b]) for b in byte_decoder().values()]
    tokens += dict.fromkeys([a + b for a, b in merges] + whole)
    spelled = [spell(a) + b" " + spell(b) for a, b in merges]
    path = args.out / "llama-bpe.gguf"
    keys = vocabulary(
        "gpt2", [spell(t) for t in tokens], [NORMAL] * len(tokens), pre="llama-bpe", merges=spelled
    )
    write_gguf(path, keys)
    peer = Llama(path, vocab_only=True)
    ids = [peer.tokenize(text, special=False) for text in vectors]
    peer.close()
    path.with_suffix(".ids").write_text("".join(" ".join(map(str, row)) + "\n" for row in ids))
    used = {i for row in ids for i in row}
    n_whole = sum(tokens.index(word) in used for word in whole)
    print(f"{path}: {len(tokens)} tokens, {len(used)} used, {n_whole} of them whole words only")


if __name__ == "__main__":
    main()
