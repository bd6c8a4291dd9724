#!/usr/bin/env python3
"""Write tests/golden/hf_logits.bin: logits of Hugging Face's Qwen3MoeForCausalLM in float32.

The model is the dequantised embedded file, so an engine compares on the F32 export with an f32
KV cache. All numbers are little-endian, every field 4-byte aligned, no padding:

    char magic[8] = "SLHFLOG1";  u8 model_sha256[32];
    u32 n_vocab, n_sequences, n_entries, top_k;
    u32 entries[n_entries];                       the vocabulary entries kept at sampled positions
    n_sequences times:
        u32 n_tokens, n_sampled, n_full, zero;
        u32 tokens[n_tokens];                     positions 0..n_tokens-1
        f32 gap_probability[n_tokens];            router: smallest gap, over the layers, between
        f32 gap_logit[n_tokens];                  the top_k-th and the next choice, two units
        u32 sampled[n_sampled];                   positions, ascending
        f32 max_abs[n_sampled];                   max |logit| over the whole vocabulary there
        f32 sampled_logits[n_sampled][n_entries];
        u32 full[n_full];                         positions, ascending
        f32 full_logits[n_full][n_vocab];

logits at a position are those for the token after it. A position whose gap_probability is below
1e-5 may take another expert for a good reason: a comparison excludes and counts it.

With --against F32.gguf the script also runs llama.cpp on that file and prints the differences.
"""

from __future__ import annotations

import argparse
import random
import struct
from pathlib import Path

import numpy as np

from common import GOLDEN, MODEL, REPO, read_jsonl, require_model
from hf_model import Reference, router_gaps
from llama_peer import F32, Llama

N_ENTRIES, FULL_PER_SEQUENCE, LONG, LONG_STEP, NEAR = 256, 10, 1000, 16, 1e-5


def sequences(vocab: Llama, texts: Path) -> list[tuple[list[int], int]]:
    """(tokens, sampling step): four short chats of different kinds, one of 1,000 tokens."""
    short: dict[str, list[int]] = {}
    long: list[int] = []
    for row in read_jsonl(texts):
        tokens = vocab.tokenize(row["text"], special=True)
        if row["task"] not in short and 50 <= len(tokens) <= 110:
            short[row["task"]] = tokens
        else:
            long += tokens
    return [(tokens, 1) for tokens in list(short.values())[:4]] + [(long[:LONG], LONG_STEP)]


def floats(values: np.ndarray) -> bytes:
    """Little-endian f32."""
    return np.ascontiguousarray(values, dtype="<f4").tobytes()


def u32s(*values: int) -> bytes:
    """Little-endian u32."""
    return struct.pack(f"<{len(values)}I", *values)


def differences(logits: np.ndarray, other: np.ndarray, gap: np.ndarray) -> str:
    """Largest |difference| / max |logit| over the positions that are not near a router choice."""
    ratio = np.abs(logits - other).max(axis=1) / np.abs(logits).max(axis=1)
    far = gap >= NEAR
    return f"max difference {ratio[far].max():.2e}, {np.sum(~far)} near a choice {ratio.max():.2e}"


def main() -> None:
    """Write the golden; compare with llama.cpp if asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--texts", type=Path, default=REPO / "tests" / "data" / "kl_texts.jsonl")
    parser.add_argument("--out", type=Path, default=GOLDEN / "hf_logits.bin")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--against", type=Path, help="F32 export, to compare llama.cpp on it")
    args = parser.parse_args()
    sha256 = require_model(args.model)
    reference = Reference(args.model, threads=args.threads)
    peer = Llama(
        args.against or args.model,
        vocab_only=args.against is None,
        cache_type=F32,
        flash_attention=False,
        threads=args.threads,
    )

    n_vocab = reference.config.vocab_size
    specials = [n_vocab - 3, n_vocab - 2, n_vocab - 1]
    entries = random.Random(256).sample(range(n_vocab - 3), N_ENTRIES - len(specials))
    entries = sorted(entries) + specials
    todo = sequences(peer, args.texts)
    out = [b"SLHFLOG1", bytes.fromhex(sha256)]
    out += [u32s(n_vocab, len(todo), N_ENTRIES, reference.top_k), u32s(*entries)]
    for tokens, step in todo:
        forward = reference.run(tokens)
        by_probability, by_logit = router_gaps(forward.router_logits, reference.top_k)
        n = len(tokens)
        sampled = list(range(step - 1, n, step))
        full = [(i + 1) * n // FULL_PER_SEQUENCE - 1 for i in range(FULL_PER_SEQUENCE)]
        out += [u32s(n, len(sampled), len(full), 0), u32s(*tokens)]
        out += [floats(by_probability), floats(by_logit), u32s(*sampled)]
        out += [floats(np.abs(forward.logits[sampled]).max(axis=1))]
        out += [floats(forward.logits[sampled][:, entries])]
        out += [u32s(*full), floats(forward.logits[full])]
        line = f"{n} tokens, {len(sampled)} sampled, {len(full)} full"
        if args.against:
            other = peer.sequence_logits(tokens)
            line += "; llama.cpp: " + differences(forward.logits, other, by_probability)
        print(line)
    args.out.write_bytes(b"".join(out))
    print(f"{args.out}: {args.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
