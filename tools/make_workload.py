#!/usr/bin/env python3
"""Draw examples/workloads/recorded.jsonl, what `sluice bench --spec` replays.

RECORDINGS are .jsonl.gz files whose lines have task, id, prompt, output, model, decoding, source
and licence: outputs of real models that anybody may pass on. PER_TASK of each task are drawn with
a fixed seed, without prompts so long that little context is left for the output.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
from pathlib import Path

from common import REPO, write_jsonl

TASKS = ["code", "math", "extraction", "chat"]
PER_TASK = 20
PROMPT_CHARACTERS = 2200
LICENCES = {"Apache-2.0", "MIT", "CC BY 4.0"}
KEPT = ["id", "task", "prompt", "output", "model", "decoding", "source", "licence"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recordings", nargs="+", type=Path)
    parser.add_argument(
        "-o", "--output", type=Path, default=REPO / "examples" / "workloads" / "recorded.jsonl"
    )
    args = parser.parse_args()
    lines = []
    for path in args.recordings:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            lines += [json.loads(line) for line in file]
    draw = random.Random(20261127)
    chosen = []
    for task in TASKS:
        fitting = [
            x
            for x in lines
            if x["task"] == task
            and x["licence"] in LICENCES
            and len(x["output"]) > 60
            and len(x["prompt"]) <= PROMPT_CHARACTERS
        ]
        chosen.append(draw.sample(fitting, PER_TASK))
    args.output.parent.mkdir(parents=True, exist_ok=True)
    write_jsonl(args.output, [{k: x[k] for k in KEPT} for row in zip(*chosen) for x in row])


if __name__ == "__main__":
    main()
