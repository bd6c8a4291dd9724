#!/usr/bin/env python3
"""Time to load a model, and the most memory it took: sluice, llama.cpp and ik_llama.cpp.

Every mode runs in a process of its own, all of them in turn, --rounds times; the file should be in
the page cache (the first round's warm-up reads it). A run loads the model, makes a context of 512
tokens, runs one pass of one row and leaves:

    sluice-packed, sluice-mapped    sluice run --layout ..., the whole process
    llama-mmap, llama-repack        llama.cpp mapped, or as it does by default: mapped, and what
                                    its kernels prefer repacked beside the mapping
    ik-mmap, ik-repack              ik_llama.cpp mapped, or with run-time repacking

`load` is until the model and its context are there (not known of sluice), `all` includes the
pass and the release. `peak` is the process's largest resident set beyond what it had before
loading; pages of a mapped file count, and so do those of a copy.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

from common import die

MODES = (
    "sluice-packed",
    "sluice-mapped",
    "llama-mmap",
    "llama-repack",
    "ik-mmap",
    "ik-repack",
)


def peak_kib() -> int:
    """This process's largest resident set so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def run_peer(mode: str, model: Path, threads: int) -> None:
    """In a process of its own: load, one pass, release; prints what it measured."""
    engine, how = mode.split("-")
    if engine == "llama":
        import llama_cpp as c

        silent = c.llama_log_callback(lambda *_: None)  # kept: it is called later
        c.llama_log_set(silent, None)
    else:
        from ik_llama_cpp import _ctypes_api as c
    c.llama_backend_init()
    before = peak_kib()
    start = time.monotonic()
    params = c.llama_model_default_params()
    if engine == "llama":
        params.load_mode = c.LLAMA_LOAD_MODE_MMAP
        params.use_extra_bufts = how == "repack"
    else:
        params.use_mmap, params.repack_tensors = how == "mmap", how == "repack"
    model_at = c.llama_model_load_from_file(str(model).encode(), params)
    if not model_at:
        die(f"{model}: {engine} cannot load it")
    context_params = c.llama_context_default_params()
    context_params.n_ctx = context_params.n_batch = context_params.n_ubatch = 512
    context_params.n_threads = context_params.n_threads_batch = threads
    context = c.llama_init_from_model(model_at, context_params)
    loaded = time.monotonic()
    batch = c.llama_batch_init(1, 0, 1)
    batch.n_tokens = batch.n_seq_id[0] = batch.logits[0] = 1
    batch.token[0], batch.pos[0], batch.seq_id[0][0] = 1, 0, 0
    if c.llama_decode(context, batch) != 0:
        die("llama_decode failed")
    _ = c.llama_get_logits_ith(context, 0)[0]
    peak = peak_kib()
    c.llama_free(context)
    free = getattr(c, "llama_model_free", None) or c.llama_free_model
    free(model_at)
    end = time.monotonic()
    result = {"load": loaded - start, "all": end - start, "peak": (peak - before) * 1024}
    print(json.dumps(result))
    sys.stdout.flush()
    os._exit(0)


def run_sluice(mode: str, binary: Path, model: Path, threads: int) -> dict[str, float]:
    """A whole process of sluice that generates one token after one."""
    layout = mode.split("-")[1]
    command = [binary, "run", "-m", model, "--raw", "-p", "a", "-n", "1", "-c", "512", "-q"]
    command += ["--temp", "0", "-t", str(threads), "--layout", layout]
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    end = time.monotonic()
    if status != 0:
        die(f"sluice: {status}")
    return {"load": float("nan"), "all": end - start, "peak": usage.ru_maxrss * 1024}


def run(mode: str, args: argparse.Namespace) -> dict[str, float]:
    """One run of one mode."""
    if mode.startswith("sluice"):
        return run_sluice(mode, args.sluice, args.model, args.threads)
    command = [sys.executable, __file__, str(args.model), "--worker", mode]
    command += ["-t", str(args.threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        die(f"{mode}: {done.stderr[-500:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Rounds over the modes, then a table of medians."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--sluice", type=Path, default=Path("build/release/sluice"))
    parser.add_argument("-t", "--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--modes", default=",".join(MODES), help="some of them")
    parser.add_argument("--worker", choices=MODES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        run_peer(args.worker, args.model, args.threads)
    size = args.model.stat().st_size
    with open(args.model, "rb") as f:
        while f.read(1 << 24):
            pass
    modes = args.modes.split(",")
    results: dict[str, list[dict[str, float]]] = {mode: [] for mode in modes}
    for _ in range(args.rounds):
        for mode in modes:
            results[mode].append(run(mode, args))
    print(f"{args.model.name}: {size / 1e9:.2f} GB, {args.threads} threads, {args.rounds} rounds")
    print(f"{'':14}  load s   all s  (range)        peak GB  of the file")
    for mode, rounds in results.items():
        load, whole, peak = (
            statistics.median(r[k] for r in rounds) for k in ("load", "all", "peak")
        )
        low, high = min(r["all"] for r in rounds), max(r["all"] for r in rounds)
        print(
            f"{mode:14} {load:7.2f} {whole:7.2f}  ({low:.2f}-{high:.2f})"
            f"  {peak / 1e9:9.2f}  {peak / size:6.2f}"
        )


if __name__ == "__main__":
    main()
