#!/usr/bin/env python3
"""Synthetic files of every shape, in llama.cpp and in sluice: do both say the same?

Each shape that `sluice synth` knows is written with few layers (--layers) and run by both engines with
f32 caches. llama.cpp goes on from random ids, always with its first choice; sluice then gets the whole
sequences (`sluice logits`). Printed for each file:

  first choice   of the positions, how many have the same largest logit
  difference     median over positions of |difference| / |logits|, both as root mean squares
  ties           positions more than ten times the median apart: another expert was chosen there

Weights are random, so there are more near ties, of experts and of tokens, than in a trained model.
The limit is for the median, which they do not touch. Files are removed again.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from common import die
from kl_vs_reference import sluice_logits
from llama_peer import F32, Llama

DIFFERENT = {"phi-3.5-moe": "llama.cpp runs RMS norms and a renormalised softmax router"}
PROMPT, N_SEQUENCES = 16, 4


def choices(binary: Path, option: str) -> list[str]:
    """What `sluice synth` offers for an option."""
    argv = [binary, "synth", option, "?"]
    said = subprocess.run(argv, capture_output=True, text=True, check=False).stderr
    names = said.split("expected", 1)[1].replace(" or ", ", ")
    return [name.strip() for name in names.split(",")]


def continue_greedily(peer: Llama, prompt: list[int], n: int) -> tuple[list[int], np.ndarray]:
    """The prompt and n - len(prompt) first choices, and the logits at each position."""
    peer.truncate(0)
    tokens = list(prompt)
    rows = [peer.logits(peer.decode(tokens, 0, all_rows=True))]
    while len(tokens) < n:
        tokens.append(int(rows[-1][-1].argmax()))
        rows.append(peer.logits(peer.decode(tokens[-1:], len(tokens) - 1, all_rows=True)))
    return tokens, np.concatenate(rows)


def compare(binary: Path, model: Path, length: int, threads: int) -> tuple[float, float, int, int]:
    """Same first choices, median difference, positions far apart, positions."""
    peer = Llama(model, cache_type=F32, flash_attention=False, context=256, threads=threads)
    rng = np.random.default_rng(1)
    prompts = rng.integers(256, peer.n_vocab - 3, (N_SEQUENCES, PROMPT)).tolist()
    theirs = [continue_greedily(peer, prompt, length) for prompt in prompts]
    n_vocab = peer.n_vocab
    peer.close()
    extra = ["-ctk", "f32", "-ctv", "f32", "-t", str(threads)]
    ours = sluice_logits(binary, model, [tokens for tokens, _ in theirs], n_vocab, extra)
    a, b = np.concatenate([logits for _, logits in theirs]), np.concatenate(ours)
    apart = np.sqrt(((a - b) ** 2).mean(axis=1) / (a**2).mean(axis=1))
    median = float(np.median(apart))
    same = float((a.argmax(axis=1) == b.argmax(axis=1)).mean())
    return same, median, int((apart > 10 * median).sum()), len(apart)


def main() -> None:
    """Write, compare and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sluice", type=Path, required=True, help="the binary to measure")
    parser.add_argument("--shapes", nargs="*", help="default: all")
    parser.add_argument("--types", nargs="*", default=["q4_k_m"], help="or 'all'")
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--length", type=int, default=48, help="positions of a sequence")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where files go; the system's by default")
    parser.add_argument("--limit", type=float, default=0.03, help="for the median difference")
    args = parser.parse_args()
    shapes = args.shapes or choices(args.sluice, "--like")
    types = choices(args.sluice, "--type") if args.types == ["all"] else args.types
    failed = []
    print("| shape | type | MiB | first choice | difference | ties | |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        for shape in shapes:
            for kind in types:
                path = Path(folder) / "model.gguf"
                argv = ["synth", "--like", shape, "--type", kind, "--layers", str(args.layers)]
                done = subprocess.run(
                    [args.sluice, *argv, "-o", path], capture_output=True, text=True, check=False
                )
                if done.returncode != 0:
                    die(done.stderr)
                same, median, ties, n = compare(args.sluice, path, args.length, args.threads)
                note = DIFFERENT.get(shape, "")
                if median > args.limit and not note:
                    failed.append(f"{shape} {kind}")
                print(
                    f"| {shape} | {kind} | {path.stat().st_size >> 20} | {100 * same:.1f}% "
                    f"| {median:.1e} | {ties} of {n} | {note} |",
                    flush=True,
                )
    if failed:
        die(f"median difference above {args.limit}: {', '.join(failed)}")


if __name__ == "__main__":
    main()
