#!/usr/bin/env python3
"""`sluice bench --spec`: workloads in, speed-ups out.

    test_bench_spec.py SLUICE [NAME ...]     run all tests, or those whose name contains NAME

Helpers and the way tests are run are test_cli.py's.
"""

import gzip
import json
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree

import test_cli
from test_cli import fails, path, sluice

STORY = test_cli.STORY


def workload(name, lines):
    return path(name, "".join(json.dumps(line) + "\n" for line in lines).encode())


LOOP = " ".join(["red green blue"] * 12)
ARMS = ["--spec-policy", "static:2..3", "--spec-policy", "ledger"]


def test_an_evaluation_covers_every_request_and_arm():
    recorded = [{"task": "code", "id": f"r{i}", "prompt": "Say it.", "output": LOOP}
                for i in range(3)]
    packed = path("recorded.jsonl.gz", gzip.compress(
        "".join(json.dumps(line) + "\n" for line in recorded).encode()))
    live = workload("live.jsonl", [{"id": "l0", "text": STORY}])
    page = path("eval.html")
    args = ["bench", "--spec", "-f", packed, "-f", live, "--n-requests", "2", "-n", "20", "-r", "2",
            *ARMS, "-o", "json", "--html", page]
    code, out, err = sluice(*args)
    assert code == 0 and err == "", err
    report = json.loads(out)
    assert report["different_bytes"] == 0 and report["rounds"] == 2
    arms = ["plain", "plain again", "static:2", "static:3", "ledger"]
    assert [(r["id"], r["arm"]) for r in report["requests"]] == [
        (i, arm) for i in ["r0", "r1", "l0"] for arm in arms]
    assert [r["task"] for r in report["requests"][::5]] == ["code", "code", "live"]
    assert [r["tokens"] for r in report["requests"][::5]][:2] == [20, 20]
    assert all(r["speedup"] > 0 for r in report["requests"])
    assert [r["replayed"] for r in report["requests"][::5]] == [True, True, False]
    static = {(s["group"], s["arm"]): s for s in report["scores"]}[("code", "static:3")]
    assert static["tokens_per_pass"] > 1.5 and static["accepted"] > 0.5, static
    xml.etree.ElementTree.parse(page)
    code, out, err = sluice(*args[:-4], "--tasks", "live")
    assert code == 0 and out.count(b"| live |") == 2 and b"code" not in out, err
    assert b"bit for bit" in out


def test_an_evaluation_says_which_line_it_cannot_use():
    fails(2, ["bench", "--spec"], "-f FILE")
    fails(1, ["bench", "--spec", "-f", path("missing.jsonl")], "missing.jsonl", "No such file")
    for lines, words in [(b'{"prompt":"a"}\n{"prompt":\n', ["bad.jsonl:2: "]),
                         (b'\n\n{"task":"x"}\n', ["bad.jsonl:3: ", '"prompt"']),
                         (b'[]\n', ["bad.jsonl:1: "]), (b"", ["no request"])]:
        fails(1, ["bench", "--spec", "-f", path("bad.jsonl", lines)], *words)
    good = workload("good.jsonl", [{"prompt": "a", "task": "x"}])
    fails(1, ["bench", "--spec", "-f", good, "--tasks", "y"], "no request")
    fails(1, ["bench", "--spec", "-f", good, "-c", "20", "-n", "50"], "longer than the context")
    for policy in ["static:3..2", "static:0..2", "static:1..99", "sometimes"]:
        fails(2, ["bench", "--spec", "-f", good, "--spec-policy", policy], "--spec-policy")


def test_ctrl_c_ends_an_evaluation_with_what_is_complete():
    lines = [{"prompt": STORY, "output": LOOP * 5, "task": "x"} for _ in range(500)]
    args = [test_cli.SLUICE, "bench", "--spec", "-f", workload("long.jsonl", lines), "--n-requests", "500",
            "-n", "200", *ARMS]
    with subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
        time.sleep(2.5)
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=60)
    assert run.returncode == 0 and err == b"", err
    assert b" of 500 requests measured" in out, out[:300]


if __name__ == "__main__":
    sys.exit(test_cli.main(globals()))
