#!/usr/bin/env python3
"""Write tests/golden/moespec.bin: recorded router outputs and what MoE-Spec selects from them.

The router outputs are softmax probabilities (f32) of the embedded model, recorded from the Hugging
Face reference on real text, in batches as a verification pass has them: chains of neighbouring
positions and scattered positions (as siblings of a tree are), 1 to 63 rows, from every layer. The
last batches are rounded to multiples of 1/64, so that they are full of ties.
The expected selections are moespec_reference.py's. Little-endian, every field 4-byte aligned:

    char magic[8] = "SLMOESP1";  u8 model_sha256[32];
    u32 n_experts, top_k, n_batches, n_budgets;
    u32 budgets[n_budgets];
    n_batches times:
        u32 layer (0xffffffff: the rounded ones), n_rows;
        f32 probability[n_rows][n_experts];
        u8  natural[n_rows][top_k];                 top k without a budget, best first
        n_budgets times:
            u32 allowed_low, allowed_high;          bit e of low | high << 32: expert e is in S
            f32 mass_kept;                          share of router probability within S
            u8  substitute[n_rows][top_k];          experts under substitution, best first
            u8  kept[n_rows];                       truncation: bit r set: natural[r] stays
            u8  zero[(4 - n_rows % 4) % 4];
"""

from __future__ import annotations

import argparse
import random
import struct
from pathlib import Path

import numpy as np

import moespec_reference as rule
from common import GOLDEN, MODEL, REPO, read_jsonl, require_model
from hf_model import Reference, softmax32
from llama_peer import Llama

ROW_COUNTS = (1, 2, 3, 5, 8, 13, 16, 33, 63)
BUDGETS = (8, 12, 16, 24, 32, 40, 48, 56, 64)
N_RECORDED, N_ROUNDED, ROUNDED_LAYER = 207, 18, 0xFFFFFFFF


def selections(rows: list[list[float]], top_k: int, gaps: list[float]) -> bytes:
    """Everything after a batch's probabilities; appends each S's gap in s_e to `gaps`."""
    natural = [rule.largest(row, top_k) for row in rows]
    out = [bytes(expert for row in natural for expert in row)]
    ranked = sorted(rule.router_sums(rows), reverse=True)
    for budget in BUDGETS:
        allowed = rule.allowed_experts(rows, budget)
        if budget < len(ranked):
            gaps.append(ranked[budget - 1] - ranked[budget])
        mask = sum(1 << expert for expert in allowed)
        mass = rule.mass_kept(rows, allowed)
        out.append(struct.pack("<IIf", mask & 0xFFFFFFFF, mask >> 32, mass))
        for row in rows:
            out.append(bytes(rule.substitute(row, allowed, top_k)))
        for row, first in zip(rows, natural):
            kept = rule.truncate(row, allowed, top_k)
            out.append(bytes([sum((expert in kept) << r for r, expert in enumerate(first))]))
        out.append(bytes(-len(rows) % 4))
    return b"".join(out)


def main() -> None:
    """Write the golden."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--texts", type=Path, default=REPO / "tests" / "data" / "kl_texts.jsonl")
    parser.add_argument("--out", type=Path, default=GOLDEN / "moespec.bin")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    sha256 = require_model(args.model)
    reference = Reference(args.model, threads=args.threads)
    vocab = Llama(args.model, vocab_only=True)
    recorded = []
    for row in read_jsonl(args.texts):
        tokens = vocab.tokenize(row["text"], special=True)
        if len(tokens) >= 2 * max(ROW_COUNTS):
            recorded.append(softmax32(reference.run(tokens).router_logits))

    rng = random.Random(63)
    n_layers, n_experts = recorded[0].shape[1:]
    # 64 experts in a u64 mask, 8 selections in a byte of bits
    assert n_experts <= 64 and reference.top_k <= 8
    body, n_rows_total, gaps, exact_ties = [], 0, [], []
    for i in range(N_RECORDED + N_ROUNDED):
        n_rows = ROW_COUNTS[i % len(ROW_COUNTS)]
        text = rng.choice(recorded)
        layer = rng.randrange(n_layers)
        if i // len(ROW_COUNTS) % 2 == 0:
            start = rng.randrange(len(text) - n_rows + 1)
            positions = list(range(start, start + n_rows))
        else:
            start = rng.randrange(len(text) - 2 * n_rows + 1)
            positions = sorted(rng.sample(range(start, start + 2 * n_rows), n_rows))
        batch = text[positions, layer].astype("<f4")
        if i >= N_RECORDED:
            batch = (np.rint(batch * 64) / 64).astype("<f4")
            layer = ROUNDED_LAYER
        rows = batch.tolist()
        body.append(struct.pack("<II", layer, n_rows) + batch.tobytes())
        body.append(selections(rows, reference.top_k, exact_ties if i >= N_RECORDED else gaps))
        n_rows_total += n_rows
    head = b"SLMOESP1" + bytes.fromhex(sha256)
    head += struct.pack("<4I", n_experts, reference.top_k, N_RECORDED + N_ROUNDED, len(BUDGETS))
    head += struct.pack(f"<{len(BUDGETS)}I", *BUDGETS)
    args.out.write_bytes(head + b"".join(body))
    print(
        f"{args.out}: {N_RECORDED} + {N_ROUNDED} batches, {n_rows_total} rows, "
        f"{args.out.stat().st_size} bytes; smallest gap at the edge of S {min(gaps):.2e}, "
        f"rounded: {sum(g == 0 for g in exact_ties)} of {len(exact_ties)} edges tie"
    )


if __name__ == "__main__":
    main()
