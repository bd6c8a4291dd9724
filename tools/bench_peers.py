#!/usr/bin/env python3
"""Verification curves of sluice, llama.cpp and ik_llama.cpp on one file, in interleaved rounds.

A round runs each engine once, in a process of its own and in rotated order, one after the other: a
file larger than half the memory is held by one engine at a time and read from the page cache. In a
process, `depth` tokens fill the cache; then passes of n rows, all asking for logits, are timed and
undone, all n in turn, --repeat times after a warm-up. `same` repeats one token (the rows share
their experts), `random` draws tokens. A round gives the median per n; the tables show the median of the
rounds, their range, the ratio to the first n and, beside it, the ratio of the bytes a pass touches.

sluice is run as
    sluice bench -m FILE -t T --rows 1,2,4,8 --depth D -o json
which measures both kinds of rows and counts the bytes. Without it the ratio of bytes is an
estimate: dense tensors plus each distinct expert once, for rows that choose experts independently
(`random`) or alike (`same`).
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from common import die

BATCH = 512
KINDS = ("random", "same")  # what the rows of a pass are


def measure_peer(args: argparse.Namespace, rows: list[int]) -> dict[str, Any]:
    """One process's measurement of llama.cpp or ik_llama.cpp."""
    context = (max(args.depth + max(rows), args.prompt) + 255) // 256 * 256
    if args.worker == "llama.cpp":
        from llama_peer import Llama

        peer = Llama(args.model, context=context, threads=args.threads, batch=BATCH)
    else:
        from ik_peer import IkLlama

        peer = IkLlama(
            args.model,
            context=context,
            threads=args.threads,
            batch=BATCH,
            repack=not args.no_repack,
        )
    rng = random.Random(args.seed)

    def draw(n: int, alike: bool) -> list[int]:
        first = rng.randrange(peer.n_vocab)
        return [first if alike else rng.randrange(peer.n_vocab) for _ in range(n)]

    def prompt_speed() -> float:
        """Tokens per second of one prompt, median of three."""
        seconds = []
        for _ in range(3):
            tokens = draw(args.prompt, False)
            start = time.perf_counter()
            for at in range(0, args.prompt, BATCH):
                peer.decode(tokens[at : at + BATCH], at, all_rows=False)
            peer.wait()
            seconds.append(time.perf_counter() - start)
            peer.truncate(0)
        return args.prompt / statistics.median(seconds)

    speed = prompt_speed() if args.prompt > 0 else 0.0
    for at in range(0, args.depth, BATCH):
        peer.decode(draw(min(BATCH, args.depth - at), False), at, all_rows=False)
    peer.wait()
    times: dict[tuple[str, int], list[float]] = {(k, n): [] for k in KINDS for n in rows}
    for turn in range(args.repeat + 1):
        for kind, n in times:
            tokens = draw(n, kind == "same")
            start = time.perf_counter()
            peer.decode(tokens, args.depth, all_rows=True)
            peer.wait()
            if turn > 0:
                times[kind, n].append((time.perf_counter() - start) * 1e3)
            peer.truncate(args.depth)
    points = [
        {"tokens": kind, "rows": n, "ms": statistics.median(t)} for (kind, n), t in times.items()
    ]
    return {"prompt": speed, "points": points}


def run_engine(engine: str, args: argparse.Namespace, seed: int) -> dict[str, Any]:
    """One engine's prompt speed and curves from a fresh process."""
    shared = ["-t", str(args.threads), "--rows", args.rows, "--depth", str(args.depth)]
    shared += ["--n-prompt", str(args.prompt)]
    if engine == "sluice":
        command = [args.sluice, "bench", "-m", args.model, *shared, "-o", "json"]
        command += ["-r", str(args.repeat), *args.sluice_arg]
    else:
        command = [sys.executable, __file__, args.model, "--worker", engine, *shared]
        command += ["--repeat", str(args.repeat), "--seed", str(seed)]
        command += ["--no-repack"] * args.no_repack
    done = subprocess.run([*command], capture_output=True, text=True)
    if done.returncode != 0:
        die(f"{engine} left with {done.returncode}: {done.stderr.strip()[-500:]}")
    try:
        result = json.loads(done.stdout[done.stdout.index("{") :])
        if engine == "sluice":
            for point in result["points"]:
                point["ms"] = 1e3 * point["seconds"]
                point["bytes"] = point["weight_bytes"] + point["kv_bytes"]
            result["prompt"] = result["prompt_tokens_per_second"]
        return result
    except (ValueError, KeyError, TypeError) as error:
        die(f"{engine}: no points in its output ({error!r})")


def estimated_bytes(path: Path, rows: list[int], same: bool) -> dict[int, float]:
    """Bytes of weights a pass of n rows reads if each distinct expert is read once."""
    from gguf import GGUFReader

    reader = GGUFReader(path)
    names = {t.name for t in reader.tensors}
    arch = reader.fields["general.architecture"].contents()
    n = reader.fields[f"{arch}.expert_count"].contents()
    k = reader.fields[f"{arch}.expert_used_count"].contents()
    routed = sum(int(t.n_bytes) for t in reader.tensors if "_exps." in t.name)
    lookup = {"token_embd.weight"} if "output.weight" in names else set()
    dense = sum(
        int(t.n_bytes) for t in reader.tensors if "_exps." not in t.name and t.name not in lookup
    )
    return {r: dense + routed * (k / n if same else 1 - (1 - k / n) ** r) for r in rows}


def points_of(result: dict[str, Any], kind: str) -> dict[int, dict[str, Any]]:
    """One kind's points of one run, by rows."""
    return {point["rows"]: point for point in result["points"] if point["tokens"] == kind}


def report(args: argparse.Namespace, rounds: dict[str, list[dict[str, Any]]], kind: str) -> None:
    """Print the table of one kind of rows."""
    rows = [int(n) for n in args.rows.split(",")]
    times = {
        engine: {n: [points_of(result, kind)[n]["ms"] for result in results] for n in rows}
        for engine, results in rounds.items()
    }
    counted = points_of(rounds["sluice"][-1], kind) if "sluice" in rounds else {}
    if counted:
        touched = {n: float(counted[n]["bytes"]) for n in rows}
    else:
        touched = estimated_bytes(args.model, rows, kind == "same")
    print(f"\n{kind} tokens, ms per pass, t(n) / t({rows[0]})\n")
    head = "bytes ratio" if counted else "bytes ratio (estimate)"
    print(f"| rows | {head} | " + " | ".join(f"{e} ms | range | ratio" for e in times) + " |")
    print("|---" * (2 + 3 * len(times)) + "|")
    for n in rows:
        cells = [str(n), f"{touched[n] / touched[rows[0]]:.2f}"]
        for by_rows in times.values():
            median, base = statistics.median(by_rows[n]), statistics.median(by_rows[rows[0]])
            cells += [f"{median:.3f}", f"{min(by_rows[n]):.3f}-{max(by_rows[n]):.3f}"]
            cells += [f"{median / base:.2f}"]
        print("| " + " | ".join(cells) + " |")
    if counted:
        experts = ", ".join(f"{n}: {counted[n]['experts_per_layer']:.1f}" for n in rows)
        shares = [counted[n]["bandwidth_share"] for n in rows]
        print(f"\ndistinct experts per layer: {experts}")
        if all(shares):
            read = ", ".join(f"{n}: {100 * share:.0f}%" for n, share in zip(rows, shares))
            print(f"of the read bandwidth of the same round: {read}")


def main() -> None:
    """Run the rounds, or one engine's part of one."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--sluice", type=Path, help="the binary; left out: only the others")
    parser.add_argument("--engines", default="llama.cpp,ik_llama.cpp", help="the others to run")
    parser.add_argument("-t", "--threads", type=int, default=2)
    parser.add_argument("--rows", default="1,2,4,8")
    parser.add_argument("--depth", type=int, default=256)
    parser.add_argument("--prompt", "--n-prompt", type=int, default=512, help="tokens; 0: none")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeat", type=int, default=5, help="timed passes per n and round")
    parser.add_argument("--sluice-arg", action="append", default=[], help="passed on, repeatable")
    parser.add_argument("--no-repack", action="store_true", help="ik_llama.cpp: file's own layout")
    parser.add_argument("--json", type=Path, help="also write every round's numbers")
    parser.add_argument("--seed", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        print(json.dumps(measure_peer(args, [int(n) for n in args.rows.split(",")])))
        return

    engines = ["sluice"] * bool(args.sluice) + [e for e in args.engines.split(",") if e]
    if unknown := set(engines) - {"sluice", "llama.cpp", "ik_llama.cpp"}:
        parser.error(f"unknown engine {', '.join(sorted(unknown))}")
    rounds: dict[str, list[dict[str, Any]]] = {engine: [] for engine in engines}
    for i in range(args.rounds):
        turn = i % len(engines)
        for engine in engines[turn:] + engines[:turn]:
            rounds[engine].append(run_engine(engine, args, seed=i + 1))
            print(f"round {i + 1}/{args.rounds}: {engine}", file=sys.stderr)
    if args.json:
        args.json.write_text(json.dumps({"model": args.model.name, "rounds": rounds}, indent=1))
    print(
        f"{args.model.name}: {args.threads} threads, depth {args.depth}, "
        f"{args.rounds} interleaved rounds, {args.repeat} passes a point in each"
    )
    if args.prompt > 0:
        for engine, results in rounds.items():
            speed = statistics.median(result["prompt"] for result in results)
            print(f"* {engine}: prompt of {args.prompt} tokens at {speed:.1f} tok/s")
    for kind in KINDS:
        report(args, rounds, kind)


if __name__ == "__main__":
    main()
