#!/usr/bin/env python3
"""Compare sluice's greedy texts with llama.cpp's, as tests/golden/greedy_llama_cpp.jsonl has them.

Runs, for each prompt of the golden, on the F32 export (see export_f32.py):

    sluice run -m F32 --temp 0 -n 128 -ctk f32 -ctv f32 -f PROMPT

and compares stdout with the golden's decoded tokens, byte by byte; one newline at the end and a cut
UTF-8 sequence at the end may be missing or extra. Where the texts part, the script names the
decision and llama.cpp's margin there: the gap in logit between its best and second-best token.
Exits 1 if fewer than --at-least are equal.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from common import GOLDEN, MODEL, MODEL_SHA256, PROMPTS, die, read_jsonl, read_vocab


def sluice_text(args: argparse.Namespace, text: str, limit: int) -> bytes:
    """What `sluice run` prints for one user turn."""
    with tempfile.TemporaryDirectory() as folder:
        prompt = Path(folder) / "prompt.txt"
        prompt.write_bytes(text.encode())
        command = [args.sluice, "run", "-m", args.f32, "--temp", "0", "-n", str(limit)]
        command += ["-ctk", "f32", "-ctv", "f32", "-t", str(args.threads), "-f", prompt]
        done = subprocess.run([*command, *args.sluice_arg], capture_output=True)
    if done.returncode != 0:
        die(f"sluice run left with {done.returncode}: {done.stderr.decode(errors='replace')}")
    return done.stdout


def whole_utf8(data: bytes) -> bytes:
    """Without a last character that was cut, nor the replacement a program may print for it."""
    text = data.decode(errors="ignore").encode()
    return data[: len(text)] if data.startswith(text) else data


def same(ours: bytes, theirs: bytes) -> bool:
    """Equal but for one last newline or a cut character at the end."""
    return whole_utf8(ours) in (whole_utf8(theirs), whole_utf8(theirs) + b"\n")


def parting(ours: bytes, golden: dict[str, Any], vocab: list[bytes]) -> int:
    """Index of the first decision whose token sluice's text does not follow."""
    at = 0
    for i, token in enumerate(golden["output_ids"]):
        piece = vocab[token]
        if ours[at : at + len(piece)] != piece:
            return i
        at += len(piece)
    return len(golden["output_ids"])


def main() -> None:
    """Run all prompts and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sluice", type=Path, required=True, help="the binary")
    parser.add_argument("--f32", type=Path, required=True, help="F32 export of the model")
    parser.add_argument("--model", type=Path, default=MODEL, help="for its vocabulary")
    parser.add_argument("--golden", type=Path, default=GOLDEN / "greedy_llama_cpp.jsonl")
    parser.add_argument("--prompts", type=Path, default=PROMPTS)
    parser.add_argument("--sluice-arg", action="append", default=[], help="passed on, repeatable")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--at-least", type=int, default=48)
    args = parser.parse_args()

    header, *rows = read_jsonl(args.golden)
    if header["model_sha256"] != MODEL_SHA256:
        die(f"{args.golden}: made from another model")
    texts = {row["id"]: row["text"] for row in read_jsonl(args.prompts)}
    vocab = read_vocab(args.model)
    n_same = 0
    for row in rows:
        ours = sluice_text(args, texts[row["id"]], header["n_predict"])
        theirs = b"".join(vocab[token] for token in row["output_ids"])
        if same(ours, theirs):
            n_same += 1
            continue
        i = parting(ours, row, vocab)
        # a text cut inside a shared piece can only part at the end: then there is no margin
        margin = row["margins"][i] if i < len(row["margins"]) else float("nan")
        print(
            f"{row['id']}: leaves at token {i} of {len(row['output_ids'])}, "
            f"llama.cpp's margin {margin:.6f}"
        )
    print(f"{n_same} of {len(rows)} texts are equal to llama.cpp's")
    if n_same < args.at_least:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
