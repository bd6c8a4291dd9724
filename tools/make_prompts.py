#!/usr/bin/env python3
"""Draw tests/data/prompts.jsonl and tests/data/kl_texts.jsonl from public datasets.

DATASETS is a folder with humaneval, gsm8k_test, mbpp, math500_test and mt_bench_question as
.jsonl.gz files in their publishers' own layouts. TASKS are text files of ChatML documents, each
ended by <|endoftext|>, as the training set's generator writes them (copies, edits, tables, orders,
stories). Drawn with a fixed seed; the kinds are interleaved, so the first n lines are a mix too.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
from pathlib import Path
from typing import Any, Iterator

from common import MODEL, REPO, chatml, require_model, write_jsonl
from llama_peer import Llama

OURS = "Apache-2.0 (made for this project)"
LICENCES = {
    "gsm8k": "MIT (OpenAI, GSM8K)",
    "humaneval": "MIT (OpenAI, HumanEval)",
    "mbpp": "CC BY 4.0 (Google, MBPP)",
    "math500": "MIT (Hendrycks et al., MATH)",
    "mtbench": "Apache-2.0 (LMSYS, MT-Bench)",
}
# task of a generated prompt, by how its first user turn begins or ends; the first match counts
KINDS = [
    ("edit_file", re.compile(r"Rename the function \w+ to ")),
    ("edit", re.compile(r"Rename the ")),
    ("copy", re.compile(r"Repeat this text|Copy the following|[^\0]*Repeat the text above\.$")),
    ("table", re.compile(r"Turn this CSV")),
    ("extraction", re.compile(r"Extract the orders|Turn this text into JSON|List every order")),
    ("story", re.compile(r"[^\0]*\bstory\b")),
    ("code", re.compile(r"[^\0]*Python (function|code)")),
    ("math", re.compile(r"[^\0]*How many .* now\?$")),
]
PER_TASK = {
    "gsm8k": 22,
    "humaneval": 18,
    "mbpp": 16,
    "math500": 12,
    "mtbench": 18,
    "edit": 18,
    "edit_file": 22,
    "copy": 22,
    "table": 16,
    "extraction": 16,
    "story": 14,
    "math": 10,
    "code": 10,
}
# the model card's prompts that it answers rightly; the first is the main job
SHOWCASE = [
    "Turn this CSV into a table.\n\nname,city,number,date\nTara Larsen,Delhi,762,2024-05-17\n"
    "Ben Tanaka,Denver,998,2022-09-12\nUma Tanaka,Porto,812,2023-10-28\n"
    "Kofi Chen,Malmo,72,2017-10-08\nYusuf Patel,Nairobi,600,2021-11-10\n"
    "Ines Moreau,Lagos,688,2020-10-02\nLucas Tanaka,Nairobi,765,2019-06-05\n"
    "Uma Khan,Bergen,873,2022-03-11\nDiego Rossi,Tunis,285,2019-04-20",
    "Write a Python function that returns the sum of the squares of the positive numbers "
    "in a list.",
    "Write a Python function that returns the largest of the odd numbers in a list.",
    "Tell me a bedtime story with a ribbon.",
    "What is the capital of France?",
]


def records(path: Path) -> Iterator[dict[str, Any]]:
    """Objects of a gzipped JSON Lines file."""
    with gzip.open(path, "rt", encoding="utf-8") as f:
        yield from map(json.loads, f)


def public(folder: Path) -> Iterator[tuple[str, str, str, str]]:
    """(task, id, prompt, reference answer) of every public item."""
    for i, r in enumerate(records(folder / "gsm8k_test.jsonl.gz")):
        answer = re.sub(r"<<.*?>>", "", r["answer"]).replace("\n#### ", "\nThe answer is ")
        yield "gsm8k", f"gsm8k_test/{i}", r["question"], answer
    for r in records(folder / "humaneval.jsonl.gz"):
        code = r["prompt"].strip("\n") + "\n" + r["canonical_solution"].rstrip()
        yield "humaneval", r["task_id"], r["prompt"], f"```python\n{code}\n```"
    for r in records(folder / "mbpp.jsonl.gz"):
        code = r["code"].replace("\r\n", "\n")
        yield "mbpp", f"mbpp/{r['task_id']}", r["text"], f"```python\n{code}\n```"
    for r in records(folder / "math500_test.jsonl.gz"):
        yield "math500", r["unique_id"], r["problem"], r["solution"]
    for r in records(folder / "mt_bench_question.jsonl.gz"):
        yield "mtbench", f"mt_bench/{r['question_id']}", r["turns"][0], ""


def generated(paths: list[Path]) -> Iterator[tuple[str, str, str, str]]:
    """(task, id, prompt, answer) of the first turn of every generated document."""
    turn = re.compile(
        r"<\|im_start\|>user\n(.*?)<\|im_end\|>\n<\|im_start\|>assistant\n(.*?)<\|im_end\|>", re.S
    )
    for number, path in enumerate(paths):
        for i, doc in enumerate(path.read_text(encoding="utf-8").split("<|endoftext|>\n")):
            if not (match := turn.match(doc)):
                continue
            prompt, answer = match.groups()
            task = next((name for name, pattern in KINDS if pattern.match(prompt)), None)
            if task:
                yield task, f"generated/{number}-{i}", prompt, answer


def main() -> None:
    """Write both files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("datasets", type=Path, help="folder of the public .jsonl.gz files")
    parser.add_argument("tasks", type=Path, nargs="+", help="generated ChatML documents")
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--out", type=Path, default=REPO / "tests" / "data")
    parser.add_argument("--context", type=int, default=1024)
    parser.add_argument("--answer", type=int, default=128, help="tokens to leave for the answer")
    parser.add_argument("--kl-tokens", type=int, default=10000, help="size of kl_texts.jsonl")
    args = parser.parse_args()
    require_model(args.model)
    vocab = Llama(args.model, vocab_only=True)

    def length(text: str) -> int:
        return len(vocab.tokenize(text, special=True))

    rng = random.Random(20260220)
    by_task: dict[str, list[tuple[str, str, str]]] = {task: [] for task in PER_TASK}
    for task, name, prompt, answer in [*public(args.datasets), *generated(args.tasks)]:
        by_task[task].append((name, prompt, answer))
    for items in by_task.values():
        rng.shuffle(items)

    rows: list[tuple[float, dict[str, Any]]] = []
    rest: dict[str, list[tuple[str, str, str]]] = {}
    seen: set[str] = set()
    for task, items in by_task.items():
        taken = 0
        for at, (name, prompt, _) in enumerate(items):
            if taken == PER_TASK[task]:
                rest[task] = items[at:]
                break
            if prompt in seen or length(chatml(prompt)) + args.answer > args.context:
                continue
            seen.add(prompt)
            row = {"id": name, "task": task, "text": prompt, "licence": LICENCES.get(task, OURS)}
            rows.append(((taken + rng.random()) / PER_TASK[task], row))
            taken += 1
    rows.sort(key=lambda item: item[0])
    for i, text in enumerate(SHOWCASE):
        row = {"id": f"showcase/{i}", "task": "showcase", "text": text, "licence": OURS}
        rows.append((2.0, row))
    write_jsonl(args.out / "prompts.jsonl", (row for _, row in rows))

    texts, total = [], 0
    while total < args.kl_tokens:
        for task in ("gsm8k", "humaneval", "edit_file", "mbpp", "copy", "story", "extraction"):
            name, prompt, answer = rest[task].pop(0)
            text = chatml(prompt) + answer + "<|im_end|>\n"
            if prompt in seen or length(text) > 512:
                continue
            texts.append(
                {"id": name, "task": task, "text": text, "licence": LICENCES.get(task, OURS)}
            )
            total += length(text)
    write_jsonl(args.out / "kl_texts.jsonl", texts)
    print(f"{len(rows)} prompts; {len(texts)} texts of {total} tokens")


if __name__ == "__main__":
    main()
