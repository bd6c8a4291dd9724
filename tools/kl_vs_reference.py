#!/usr/bin/env python3
"""KL divergence of engines on quantised files against float32 arithmetic on the same weights.

    kl_vs_reference.py --sluice BIN                              the embedded model as it is
    kl_vs_reference.py --sluice BIN --types q4_0 q4_k_m ...      requantised first, a row for each
    kl_vs_reference.py --sluice BIN --types all --model F32.gguf

reference: Hugging Face in float32 with the file's dequantised weights (f32 activations, f32 KV).
engines:   llama.cpp, flash attention on and off, and sluice. Both keep their cache in --kv.
--types:   llama.cpp's quantiser (quantize.py) makes the files from --model, one after the other.

sluice is run as
    sluice logits -m FILE --ids IDS -o OUT
where IDS has one sequence per line, ids separated by spaces, and OUT is raw little-endian f32
[positions][n_vocab], all sequences in order, no header.

Text: tests/data/kl_texts.jsonl in chunks of at most 512 tokens. A row for each file: mean KL(reference
|| engine) in nats with its standard error over positions, of llama.cpp (the smaller of its two) and of
sluice; and sluice's in units of llama.cpp's: the mean, with a standard error from resampling the
sequences, the mean over the clear half, and the median; and how often either has the reference's
first choice. Few positions, where rounding chose another expert, make up most of a mean, so its ratio
is a coarse measure. The clear half are the positions whose nearest router decision is farther, in
logit, than that of the others.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common import MODEL, REPO, die, read_jsonl
from hf_model import Reference, router_gaps
from llama_peer import F16, F32, Llama
from quantize import FILE_TYPES, quantize

CHUNK = 512
KV = {"f32": F32, "f16": F16}


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


def read_sequences(model: Path, texts: Path, max_positions: int) -> list[list[int]]:
    """The texts in the model's tokens, in chunks, up to about max_positions in all."""
    vocab = Llama(model, vocab_only=True)
    sequences: list[list[int]] = []
    for row in read_jsonl(texts):
        tokens = vocab.tokenize(row["text"], special=True)
        for at in range(0, len(tokens), CHUNK):
            if sum(map(len, sequences)) < max_positions:
                sequences.append(tokens[at : at + CHUNK])
    vocab.close()
    return sequences


@dataclass
class Result:
    """What one engine gave: KL at each position, sequence by sequence, and equal first choices."""

    kl: list[np.ndarray]
    same: float
    clear: np.ndarray  # [positions] whether it is one of the clear half

    def mean(self) -> float:
        """Nats."""
        return float(np.concatenate(self.kl).mean())

    def clear_mean(self) -> float:
        """Nats, over the clear half."""
        return float(np.concatenate(self.kl)[self.clear].mean())

    def median(self) -> float:
        """Nats."""
        return float(np.median(np.concatenate(self.kl)))

    def error(self) -> float:
        """Standard error of the mean."""
        flat = np.concatenate(self.kl)
        return float(flat.std() / len(flat) ** 0.5)


def judge(expected: list[np.ndarray], clear: np.ndarray, logits: list[np.ndarray]) -> Result:
    """An engine's logits against the reference's."""
    pairs = list(zip(expected, logits))
    same = np.concatenate([e.argmax(1) == l.argmax(1) for e, l in pairs])
    return Result([divergence(e, l) for e, l in pairs], float(same.mean()), clear)


def measure(model: Path, sequences: list[list[int]], args: argparse.Namespace) -> dict[str, Result]:
    """Every engine on one file."""
    reference = Reference(model, threads=args.threads)
    runs = [reference.run(tokens) for tokens in sequences]
    expected = [run.logits for run in runs]
    gaps = [router_gaps(run.router_logits, reference.top_k)[1] for run in runs]
    clear = np.concatenate(gaps) >= np.median(np.concatenate(gaps))
    results: dict[str, Result] = {}
    for name, flash in (("llama.cpp fa on", True), ("llama.cpp fa off", False)):
        peer = Llama(model, flash_attention=flash, threads=args.threads, cache_type=KV[args.kv])
        logits = [peer.sequence_logits(tokens) for tokens in sequences]
        results[name] = judge(expected, clear, logits)
        peer.close()
    if args.sluice:
        extra = ["-ctk", args.kv, "-ctv", args.kv, "-t", str(args.threads), *args.sluice_arg]
        n_vocab = reference.config.vocab_size
        logits = sluice_logits(args.sluice, model, sequences, n_vocab, extra)
        results["sluice"] = judge(expected, clear, logits)
    return results


def print_row(label: str, results: dict[str, Result]) -> float:
    """A row for a file; returns sluice's ratio to llama.cpp, or 0 without it."""
    base = min((r for n, r in results.items() if n.startswith("llama")), key=Result.mean)
    cells = [label, f"{base.mean():.2e} +- {base.error():.0e}"]
    ours = results.get("sluice")
    if ours:
        cells += [
            f"{ours.mean():.2e} +- {ours.error():.0e}",
            f"{ours.mean() / base.mean():.2f} +- {ratio_error(ours.kl, base.kl):.2f}",
            f"{ours.clear_mean() / base.clear_mean():.2f}",
            f"{ours.median() / base.median():.2f}",
            f"{100 * base.same:.1f}%, {100 * ours.same:.1f}%",
        ]
    print("| " + " | ".join(cells) + " |", flush=True)
    return ours.mean() / base.mean() if ours else 0.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--types", nargs="*", default=[], choices=["all", *FILE_TYPES])
    parser.add_argument("--texts", type=Path, default=REPO / "tests" / "data" / "kl_texts.jsonl")
    parser.add_argument("--sluice", type=Path, help="the binary to measure")
    parser.add_argument("--sluice-arg", action="append", default=[], help="passed on, repeatable")
    parser.add_argument("--kv", choices=KV, default="f16", help="cache of both engines")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--max-positions", type=int, default=1 << 30)
    parser.add_argument("--limit", type=float, help="exit 1 if a ratio of sluice is above this")
    args = parser.parse_args()

    sequences = read_sequences(args.model, args.texts, args.max_positions)
    print(f"{len(sequences)} sequences, {sum(map(len, sequences))} positions, {args.model.name}\n")
    if args.sluice:
        print("| type | llama.cpp | sluice | ratio | clear half | medians | same choice |")
        print("|---|---|---|---|---|---|---|")
    else:
        print("| type | llama.cpp |\n|---|---|")
    ratios = {}
    if not args.types:
        ratios["as it is"] = print_row("as it is", measure(args.model, sequences, args))
    with tempfile.TemporaryDirectory() as folder:
        for kind in FILE_TYPES if args.types == ["all"] else args.types:
            path = Path(folder) / f"{kind}.gguf"
            quantize(args.model, path, kind, args.threads)
            ratios[kind] = print_row(kind, measure(path, sequences, args))
            path.unlink()
    above = [kind for kind, ratio in ratios.items() if args.limit and ratio > args.limit]
    if above:
        die(f"above {args.limit} times llama.cpp's KL: {', '.join(above)}")


if __name__ == "__main__":
    main()
