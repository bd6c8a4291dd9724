#!/usr/bin/env python3
"""Perplexity of one text from `sluice perplexity` beside llama.cpp's, on the same file.

llama.cpp's value is computed here from its logits, as its perplexity tool does it: chunks of -c
tokens, the first token of each replaced by BOS where the model wants one, the second half
predicted. Cache types are f16 in both; llama.cpp runs with flash attention on and off.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from pathlib import Path

import llama_cpp
import numpy as np

from common import MODEL, die
from llama_peer import Llama


def surprises(peer: Llama, tokens: list[int], context: int) -> np.ndarray:
    """-ln p of every predicted token of all whole chunks, [chunks][predicted of one]."""
    half = context // 2
    bos = llama_cpp.llama_vocab_bos(peer.vocab)
    adds_bos = llama_cpp.llama_vocab_get_add_bos(peer.vocab)
    rows = []
    for at in range(0, len(tokens) - context + 1, context):
        chunk = tokens[at : at + context]
        fed = [bos, *chunk[1:]] if adds_bos else chunk
        logits = peer.sequence_logits(fed)[half : context - 1].astype(np.float64)
        logits -= logits.max(axis=1, keepdims=True)
        chosen = logits[np.arange(len(logits)), chunk[half + 1 :]]
        rows.append(np.log(np.exp(logits).sum(axis=1)) - chosen)
    return np.array(rows)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("text", type=Path)
    parser.add_argument("--sluice", type=Path, required=True, help="the binary to compare")
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("-c", "--context", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()

    command = [args.sluice, "perplexity", "-m", args.model, "-f", args.text, "--json"]
    command += ["-c", str(args.context), "-t", str(args.threads)]
    ours = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    text = args.text.read_text(encoding="utf-8").removesuffix("\n")
    print(f"{args.model.name}, {args.text.name}: {ours['chunks']} chunks of {args.context} tokens")
    print(f"sluice            {ours['perplexity']:.6f} +- {ours['standard_error']:.6f}")
    for flash in (True, False):
        peer = Llama(
            args.model, context=args.context, threads=args.threads, flash_attention=flash
        )
        tokens = peer.tokenize(text, special=False)
        if llama_cpp.llama_vocab_get_add_bos(peer.vocab):
            tokens.insert(0, llama_cpp.llama_vocab_bos(peer.vocab))
        if len(tokens) != ours["tokens"]:
            die(f"{len(tokens)} tokens in llama.cpp, {ours['tokens']} in sluice")
        x = surprises(peer, tokens, args.context)
        peer.close()
        value = np.exp(x.mean())
        error = value * (x.var() / (x.size - 1)) ** 0.5
        ratio = ours["perplexity"] / value - 1
        worst = np.abs(np.array(ours["chunk_nll"]) - x.mean(axis=1)).max()
        print(
            f"llama.cpp, fa {'on' if flash else 'off':3} {value:.6f} +- {error:.6f}; sluice "
            f"{100 * ratio:+.4f}%; a chunk's mean differs by {worst:.1e} nats at most"
        )


if __name__ == "__main__":
    main()
