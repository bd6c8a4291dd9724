#!/usr/bin/env python3
"""KL divergence of engines on a quantised file against float32 arithmetic on the same weights.

reference: Hugging Face in float32 with the file's dequantised weights (f32 activations, f32 KV).
engines:   llama.cpp with its defaults (f16 KV), flash attention on and off; and sluice, if --sluice
           names a binary. sluice is run as
               sluice logits -m FILE --ids IDS -o OUT
           where IDS has one sequence per line, ids separated by spaces, and OUT is raw
           little-endian f32 [positions][n_vocab], all sequences in order, no header.

Text: tests/data/kl_texts.jsonl in chunks of at most 512 tokens. Printed: mean
KL(reference || engine) in nats with its standard error over positions, the median, the maximum, how often the first choice
agrees, and the ratio to llama.cpp's mean (the smaller of its two) with a standard error from
resampling the sequences.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from common import MODEL, REPO, die, read_jsonl
from hf_model import Reference
from llama_peer import Llama

CHUNK = 512


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Over the last axis, in double."""
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def divergence(reference: np.ndarray, engine: np.ndarray) -> np.ndarray:
    """KL(reference || engine) at every position."""
    p, q = log_softmax(reference), log_softmax(engine)
    return (np.exp(p) * (p - q)).sum(axis=-1)


def sluice_logits(
    binary: Path, model: Path, sequences: list[list[int]], n_vocab: int, extra: list[str]
) -> list[np.ndarray]:
    """Logits of every sequence from `sluice logits`."""
    with tempfile.TemporaryDirectory() as folder:
        ids, out = Path(folder) / "ids.txt", Path(folder) / "logits.bin"
        ids.write_text("".join(" ".join(map(str, tokens)) + "\n" for tokens in sequences))
        subprocess.run([binary, "logits", "-m", model, "--ids", ids, "-o", out, *extra], check=True)
        values = np.fromfile(out, dtype="<f4")
    lengths = [len(tokens) for tokens in sequences]
    if values.size != sum(lengths) * n_vocab:
        die(f"{binary}: wrote {values.size} floats, not {sum(lengths)} x {n_vocab}")
    return np.split(values.reshape(-1, n_vocab), np.cumsum(lengths)[:-1])


def ratio_error(ours: list[np.ndarray], theirs: list[np.ndarray]) -> float:
    """Standard error of mean(ours) / mean(theirs), by resampling whole sequences."""
    rng = np.random.default_rng(1)
    a = np.array([x.sum() for x in ours])
    b = np.array([x.sum() for x in theirs])
    draws = rng.integers(len(a), size=(2000, len(a)))
    return float((a[draws].sum(axis=1) / b[draws].sum(axis=1)).std())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--texts", type=Path, default=REPO / "tests" / "data" / "kl_texts.jsonl")
    parser.add_argument("--sluice", type=Path, help="the binary to measure")
    parser.add_argument("--sluice-arg", action="append", default=[], help="passed on, repeatable")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--max-positions", type=int, default=1 << 30)
    parser.add_argument("--limit", type=float, help="exit 1 if sluice's ratio is above this")
    args = parser.parse_args()

    reference = Reference(args.model, threads=args.threads)
    n_vocab = reference.config.vocab_size
    vocab = Llama(args.model, vocab_only=True)
    sequences: list[list[int]] = []
    n_positions = 0
    for row in read_jsonl(args.texts):
        tokens = vocab.tokenize(row["text"], special=True)
        for at in range(0, len(tokens), CHUNK):
            if n_positions < args.max_positions:
                sequences.append(tokens[at : at + CHUNK])
                n_positions += len(sequences[-1])
    expected = [reference.run(tokens).logits for tokens in sequences]

    engines: dict[str, list[np.ndarray]] = {}
    for name, flash in (("llama.cpp fa on", True), ("llama.cpp fa off", False)):
        peer = Llama(args.model, flash_attention=flash, threads=args.threads)
        engines[name] = [peer.sequence_logits(tokens) for tokens in sequences]
        peer.close()
    if args.sluice:
        engines["sluice"] = sluice_logits(
            args.sluice, args.model, sequences, n_vocab, args.sluice_arg
        )

    kl = {
        name: [divergence(e, l) for e, l in zip(expected, logits)]
        for name, logits in engines.items()
    }
    means = {name: float(np.concatenate(values).mean()) for name, values in kl.items()}
    base = min((name for name in means if name.startswith("llama")), key=lambda n: means[n])
    print(f"{len(sequences)} sequences, {n_positions} positions, {args.model.name}")
    print("| engine | mean KL | +- | median | max | same first choice | ratio | +- |")
    print("|---|---|---|---|---|---|---|---|")
    for name, values in kl.items():
        flat = np.concatenate(values)
        pairs = zip(expected, engines[name])
        same = np.mean(np.concatenate([e.argmax(1) == l.argmax(1) for e, l in pairs]))
        print(
            f"| {name} | {flat.mean():.3e} | {flat.std() / len(flat) ** 0.5:.1e} "
            f"| {np.median(flat):.2e} | {flat.max():.2e} | {100 * same:.2f}% "
            f"| {means[name] / means[base]:.3f} | {ratio_error(values, kl[base]):.3f} |"
        )
    if args.limit and args.sluice and means["sluice"] > args.limit * means[base]:
        die(f"sluice's KL is {means['sluice'] / means[base]:.3f} times llama.cpp's")


if __name__ == "__main__":
    main()
