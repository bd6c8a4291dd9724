#!/usr/bin/env python3
"""Verification curves of sluice, llama.cpp and ik_llama.cpp on one file, in interleaved rounds.

A round runs each engine once, in a process of its own and in rotated order, one after the other: a
file larger than half the memory is held by one engine at a time and read from the page cache. In a
process, `depth` tokens fill the cache; then passes of n rows, all asking for logits, are timed and
undone, all n in turn, --repeat times after a warm-up. `same` repeats one token (the rows share
their experts), `random` draws tokens. A round gives the median per n; the table shows the median of the
rounds, their range, the ratio to the first n and, beside it, the ratio of the bytes a pass touches.

sluice is run as
    sluice bench -m FILE -t T --rows 1,2,4,8 --depth D --tokens random|same -o json
and must print an object with "curve": [{"rows": n, "ms": x, "bytes": y, "experts": z}, ...]; bytes
and experts are optional. Without sluice's bytes the ratio is an estimate: dense tensors plus each
distinct expert once, for rows that choose experts independently (`random`) or alike (`same`).
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


def measure_peer(args: argparse.Namespace, rows: list[int]) -> dict[str, Any]:
    """One process's measurement of llama.cpp or ik_llama.cpp."""
    context = (args.depth + max(rows) + 255) // 256 * 256
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

    for at in range(0, args.depth, BATCH):
        peer.decode(draw(min(BATCH, args.depth - at), False), at, all_rows=False)
    peer.wait()
    times: dict[int, list[float]] = {n: [] for n in rows}
    for turn in range(args.repeat + 1):
        for n in rows:
            tokens = draw(n, args.tokens == "same")
            start = time.perf_counter()
            peer.decode(tokens, args.depth, all_rows=True)
            peer.wait()
            if turn > 0:
                times[n].append((time.perf_counter() - start) * 1e3)
            peer.truncate(args.depth)
    return {"curve": [{"rows": n, "ms": statistics.median(t)} for n, t in times.items()]}


def run_engine(engine: str, args: argparse.Namespace, seed: int) -> list[dict[str, Any]]:
    """One engine's curve from a fresh process."""
    shared = ["-t", str(args.threads), "--rows", args.rows, "--depth", str(args.depth)]
    shared += ["--tokens", args.tokens]
    if engine == "sluice":
        command = [args.sluice, "bench", "-m", args.model, *shared, "-o", "json"]
    else:
        command = [sys.executable, __file__, args.model, "--worker", engine, *shared]
        command += ["--repeat", str(args.repeat), "--seed", str(seed)]
        command += ["--no-repack"] * args.no_repack
    done = subprocess.run([*command], capture_output=True, text=True)
    if done.returncode != 0:
        die(f"{engine} left with {done.returncode}: {done.stderr.strip()[-500:]}")
    try:
        curve = json.loads(done.stdout[done.stdout.index("{") :])["curve"]
        return [row | {"rows": int(row["rows"]), "ms": float(row["ms"])} for row in curve]
    except (ValueError, KeyError, TypeError) as error:
        die(f"{engine}: no curve of rows and ms in its output ({error!r})")


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


def report(args: argparse.Namespace, rounds: dict[str, list[list[dict[str, Any]]]]) -> None:
    """Print the table."""
    rows = [int(n) for n in args.rows.split(",")]
    times = {
        engine: {n: [r["ms"] for curve in curves for r in curve if r["rows"] == n] for n in rows}
        for engine, curves in rounds.items()
    }
    last = {r["rows"]: r for r in rounds["sluice"][-1]} if "sluice" in rounds else {}
    measured = bool(last) and all("bytes" in last.get(n, {}) for n in rows)
    if measured:
        touched = {n: float(last[n]["bytes"]) for n in rows}
    else:
        touched = estimated_bytes(args.model, rows, args.tokens == "same")
    bytes_head = "bytes ratio" if measured else "bytes ratio (estimate)"
    print(
        f"{args.model.name}: {args.threads} threads, depth {args.depth}, {args.tokens} tokens, "
        f"{args.rounds} interleaved rounds; ms per pass, t(n)/t({rows[0]})"
    )
    print(f"| rows | {bytes_head} | " + " | ".join(f"{e} ms | range | ratio" for e in times) + " |")
    print("|---" * (2 + 3 * len(times)) + "|")
    for n in rows:
        cells = [str(n), f"{touched[n] / touched[rows[0]]:.2f}"]
        for by_rows in times.values():
            if not by_rows[n]:
                cells += ["-", "-", "-"]
                continue
            median, base = statistics.median(by_rows[n]), statistics.median(by_rows[rows[0]])
            cells += [f"{median:.3f}", f"{min(by_rows[n]):.3f}-{max(by_rows[n]):.3f}"]
            cells += [f"{median / base:.2f}"]
        print("| " + " | ".join(cells) + " |")
    if last and all("experts" in last.get(n, {}) for n in rows):
        print(
            "distinct experts per layer: " + ", ".join(f"{n}: {last[n]['experts']}" for n in rows)
        )


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
    parser.add_argument("--tokens", choices=["random", "same"], default="random")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeat", type=int, default=5, help="timed passes per n and round")
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
    rounds: dict[str, list[list[dict[str, Any]]]] = {engine: [] for engine in engines}
    for i in range(args.rounds):
        turn = i % len(engines)
        for engine in engines[turn:] + engines[:turn]:
            rounds[engine].append(run_engine(engine, args, seed=i + 1))
            print(f"round {i + 1}/{args.rounds}: {engine}", file=sys.stderr)
    if args.json:
        args.json.write_text(json.dumps({"model": args.model.name, "rounds": rounds}, indent=1))
    report(args, rounds)


if __name__ == "__main__":
    main()
