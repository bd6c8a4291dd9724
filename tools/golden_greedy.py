#!/usr/bin/env python3
"""Write tests/golden/greedy_llama_cpp.jsonl: llama.cpp's greedy answers on the F32 export.

Settings: F32 weights, f32 KV cache, flash attention off, temperature 0, at most 128 new tokens; the
prompt (through ChatML) in one batch, then one token per pass. The first line is a header; then
{id, prompt_ids, output_ids, stop, margins} for each of the first 50 prompts of prompts.jsonl.
An end-of-generation token ends the text and is not in output_ids: stop is "eog:ID", else "length".
margins[i] is the gap in logit between the best and the second-best token at decision i; a text
ended by "eog" has one margin more than output ids.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from common import GOLDEN, MODEL, PROMPTS, chatml, read_jsonl, require_model, write_jsonl
from export_f32 import export
from llama_peer import F32, Llama, version


def generate(peer: Llama, prompt: list[int], limit: int) -> dict[str, Any]:
    """Greedy continuation; ties go to the lower id."""
    peer.truncate(0)
    output: list[int] = []
    margins: list[float] = []
    stop = "length"
    pending = prompt
    at = 0
    while len(output) < limit:
        peer.decode(pending, at, all_rows=False)
        logits = peer.logits(1)[0]
        at += len(pending)
        best = int(np.argmax(logits))
        top = float(logits[best])
        logits[best] = -np.inf
        margins.append(round(top - float(logits.max()), 6))
        if peer.ends_generation(best):
            stop = f"eog:{best}"
            break
        output.append(best)
        pending = [best]
    return {"prompt_ids": prompt, "output_ids": output, "stop": stop, "margins": margins}


def main() -> None:
    """Write the golden."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("f32", type=Path, help="F32 export; written first if it does not exist")
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--prompts", type=Path, default=PROMPTS)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=GOLDEN / "greedy_llama_cpp.jsonl")
    args = parser.parse_args()
    sha256 = require_model(args.model)
    if not args.f32.exists():
        export(args.model, args.f32)
    peer = Llama(args.f32, cache_type=F32, flash_attention=False, threads=args.threads, batch=1024)
    header = {
        "model_sha256": sha256,
        "producer": version(),
        "settings": "F32 export, f32 KV, no flash attention, temperature 0",
        "n_predict": args.tokens,
    }
    rows = [header]
    for row in list(read_jsonl(args.prompts))[: args.count]:
        prompt = peer.tokenize(chatml(row["text"]), special=True)
        rows.append({"id": row["id"], **generate(peer, prompt, args.tokens)})
    write_jsonl(args.out, rows)
    margins = [m for row in rows[1:] for m in row["margins"]]
    ended = sum(row["stop"] != "length" for row in rows[1:])
    close = sum(m < 1e-3 for m in margins)
    print(
        f"{len(rows) - 1} prompts, {ended} ended by themselves, {len(margins)} decisions, "
        f"{close} with a margin below 1e-3, smallest {min(margins)}"
    )


if __name__ == "__main__":
    main()
