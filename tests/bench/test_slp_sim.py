#!/usr/bin/env python3
"""slp_sim as its users call it: tables that agree with each other, and clear refusals.

    test_slp_sim.py SLP_SIM MODEL.gguf
"""
import gzip
import json
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as xml

SIM, MODEL = sys.argv[1:3]


def sim(*args, code=0):
    done = subprocess.run([SIM, *args], capture_output=True, text=True, timeout=300)
    assert done.returncode == code, (args, done.returncode, done.stderr)
    return done.stdout if code == 0 else done.stderr


def recordings():
    """A text that copies itself and one that does not, thrice."""
    copy = "The cat sat on the mat and the dog lay on the rug. " * 6
    fresh = " ".join(f"word{i * 7919 % 1000} is {i * 104729 % 997}," for i in range(60))
    for i in range(3):
        yield {"task": "copy", "id": f"c{i}", "prompt": "Repeat: " + copy[:60], "output": copy}
        yield {"task": "fresh", "id": f"f{i}", "prompt": "Write.", "output": fresh}


def crowd():
    """Twelve texts that copy themselves, and two long ones beside them that never do."""
    copy = "The cat sat on the mat and the dog lay on the rug. " * 8
    for i in range(14):
        fresh = "".join(chr(0x4e00 + (i * 999 + j) * 7919 % 20000) for j in range(150))
        yield {"task": "t", "id": str(i), "prompt": "Write.", "output": copy if i % 7 else fresh}


def write(folder, name, requests):
    path = os.path.join(folder, name)
    with gzip.open(path, "wt", encoding="utf-8") as f:
        for r in requests:
            f.write(json.dumps(r) + "\n")
    return path


def check_replay(path):
    base = ("--replay", path, "--vocab", MODEL)
    rows = [json.loads(line) for line in
            sim(*base, "--policy", "off,static:3,cascade,ledger", "-o", "json").splitlines()]
    assert len(rows) == 6
    for row in rows:
        plain, p = row["output_tokens"] - 1, row["policies"]
        assert abs(p["off"]["time"] - plain) < 1e-6 and p["off"]["drafted"] == 0
        # No choice of rows beats the one that knows the output.
        assert all(v["time"] >= row["oracle_time"] - 1e-6 for v in p.values()), row
        assert row["best_k_time"] <= plain + 1e-6
        assert p["ledger"]["time"] <= 1.02 * plain + 1.5, row
        if row["task"] == "copy":
            assert p["ledger"]["speedup"] > 1.5, row
    again = sim(*base, "--policy", "ledger", "-o", "json")
    assert again == sim(*base, "--policy", "ledger", "-o", "json"), "not the same twice"
    table = sim(*base, "--policy", "ledger,cascade@2")
    assert "| ledger |" in table and "| oracle per iteration |" in table
    assert sim(*base, "-o", "csv").startswith("curve,part,policy,task,speedup")


def check_drafters(path):
    """Both find copied text; elsewhere they differ."""
    base = ("--replay", path, "--vocab", MODEL, "--policy", "ledger", "-o", "json")
    lookup, suffix = (sim(*base, "--drafter", d) for d in ("ngram", "suffix"))
    assert lookup != suffix
    for row in map(json.loads, suffix.splitlines()):
        if row["task"] == "copy":
            assert row["policies"]["ledger"]["speedup"] > 1.5, row


def check_page(path):
    """Well formed, needs nothing beside it, and says what the table says."""
    base = ("--replay", path, "--vocab", MODEL, "--policy", "static:3,ledger")
    page = sim(*base, "-o", "html")
    root = xml.fromstring(page.split("\n", 1)[1])
    html = "{http://www.w3.org/1999/xhtml}"
    cells = next([c.text for c in row] for row in root.iter(html + "tr") if row[0].text == "ledger")
    mean = next(line for line in sim(*base).splitlines() if line.startswith("| ledger |"))
    assert mean.split("|")[2].strip() in cells, (mean, cells)
    assert page.count("<svg") == 3 and "http" not in page.replace("http://www.w3.org", "")


def check_routing(folder):
    """A pass costs the experts it reads: rows that use the root's are almost free."""
    loop = [5, 6, 7, 8] * 12
    meta, ids = os.path.join(folder, "meta.jsonl"), os.path.join(folder, "ids.u8")
    with open(meta, "w", encoding="utf-8") as f:
        for i in range(2):
            f.write(json.dumps({"id": f"r{i}", "prompt_ids": [1, 2], "gen_ids": loop,
                                "tok_offset": 47 * i, "n_routed": 47}) + "\n")
    base = ("--routing", meta, ids, "--layers", "2", "--slots", "1", "--expert-share", "1",
            "--policy", "static:4")
    times = []
    for route in ([3, 3] * 47, [i for t in range(47) for i in (2 * t, 2 * t + 1)]):
        with open(ids, "wb") as f:
            f.write(bytes(route * 2))
        row = json.loads(sim(*base, "-o", "json").splitlines()[0])
        times.append(row["policies"]["static:4"]["time"])
    # 47 tokens: 4 plain ones, 9 passes of five rows; experts 1 or 5, the last two by the mean.
    assert abs(times[0] - (4 + 9 * 1.08)) < 1e-3, times
    assert abs(times[1] - (4 + 9 * 5.08)) < 1e-3, times
    assert "experts per layer of 1, 2, 4, 8, 16 consecutive tokens: 1.0 2.0 4.0" in sim(*base)
    with open(ids, "wb") as f:
        f.write(bytes(100))
    assert "meta.jsonl:2: expected tok_offset" in sim(*base, code=1)


def shared(path, *args):
    """{(policy, sharing): line} of requests that share passes."""
    lines = sim("--replay", path, "--vocab", MODEL, "--noise", "0", "-o", "json", *args)
    return {(r["policy"], r["sharing"]): r for r in map(json.loads, lines.splitlines())}


WAYS = [("ledger", way) for way in ("alone", "pool", "pool without bound")]


def check_requests(path):
    """Who waits for everyone's rows should not choose them as if alone."""
    policies = ("--policy", "off,static:3,cascade,ledger")
    base = ("--replay", path, "--vocab", MODEL, *policies)
    one = shared(path, *policies, "--requests", "1")
    single = [json.loads(line) for line in sim(*base, "--noise", "0", "-o", "json").splitlines()]
    for name in ("off", "static:3", "cascade", "ledger"):  # the same passes as by itself
        time = sum(row["policies"][name]["time"] for row in single)
        assert abs(one[name, "alone"]["time"] - time) < 1e-4 * time, (name, time, one)

    four = shared(path, *policies, "--requests", "4")
    assert list(four) == [(p, "alone") for p in ("off", "static:3", "cascade")] + WAYS
    assert len({r["tokens"] for r in [*one.values(), *four.values()]}) == 1
    plain = four["off", "alone"]
    assert plain["rows"] == plain["tokens"] and plain["speedup"] == 1 == plain["worst"]
    alone, pool, free = (four[way] for way in WAYS)
    assert pool["speedup"] > 1.05 and free["speedup"] > 1.1 * alone["speedup"], four

    base += ("--requests", "4")
    assert "| ledger | pool without bound |" in sim(*base)
    csv = sim(*base, "-o", "csv").splitlines()
    assert csv[0] == "curve,requests,policy,sharing,speedup,rows,tokens,worst_long,worst"
    assert len(csv) == 7 and csv[5].startswith('target,4,"ledger",pool,')
    assert "not understood" in sim(*base[:-1], "17", code=2)
    assert "not with --routing or -o html" in sim(*base, "-o", "html", code=2)
    assert "not with --routing" in sim("--routing", path, path, "--requests", "2", code=2)


def check_bystanders(path):
    """What the bound is for: a request without drafts keeps its 1% of itself and of 100 plain
    passes, and that is why those beside it gain less than they could."""
    alone, pool, free = (shared(path, "--policy", "ledger", "--requests", "4")[w] for w in WAYS)
    assert pool["worst"] > 0.98, pool
    assert alone["worst"] < 0.9 and free["worst"] < 0.9, (alone, free)
    assert 1 < pool["speedup"] < 1.1 < free["speedup"] and pool["rows"] < free["rows"]


def check_curve(path, folder):
    curve = os.path.join(folder, "curve.csv")
    with open(curve, "w", encoding="utf-8") as f:
        f.write("rows,ms\n1,10\n2,10.1\n16,10.2\n")
    rows = sim("--replay", path, "--vocab", MODEL, "--curve", curve, "--policy", "static:8",
               "-o", "json")
    assert all(json.loads(r)["policies"]["static:8"]["speedup"] > 0.98 for r in rows.splitlines())


def check_refusals(path, folder):
    bad = os.path.join(folder, "bad.jsonl")
    with open(bad, "w", encoding="utf-8") as f:
        f.write('{"task": "x", "prompt": "a", "output": "b c d"}\n{"task": "x"}\n')
    base = ("--vocab", MODEL, "--replay")
    assert "bad.jsonl:2: expected task, prompt and output" in sim(*base, bad, code=1)
    assert "cannot open" in sim(*base, "/nowhere.jsonl", code=1)
    assert 'policy "static:99"' in sim(*base, path, "--policy", "static:99", code=1)
    curve = os.path.join(folder, "curve.csv")
    for text, words in (("rows,ms\n1,2\n2,\n3,4\n", "curve.csv:3: expected rows,time"),
                        ("1,2\n2,1e999\n", "curve.csv:2: expected rows,time"),
                        ("1,2\n2,1\n", "the last two points give 3 rows a time of 0 "),
                        ("1,2\n", "needs two points")):
        with open(curve, "w", encoding="utf-8") as f:
            f.write(text)
        assert words in sim(*base, path, "--curve", curve, code=1), text
    assert 'curve "steep"' in sim(*base, path, "--curve", "steep", code=1)
    assert "not understood" in sim(*base, path, "--noise", "7", code=2)
    assert "not understood" in sim(*base, path, "--drafter", "oracle", code=2)
    assert "usage" in sim(code=2)


def check_vocabulary(folder):
    """Ranks decide: "ab" is joined before "bc"."""
    vocab = os.path.join(folder, "tiny.tiktoken")
    with open(vocab, "w", encoding="utf-8", newline="\r\n") as f:
        f.write("YQ== 0\nYg== 1\nYw== 2\nYWI= 3\nYmM= 4\n")
    path = os.path.join(folder, "abc.jsonl")
    with open(path, "w", encoding="utf-8") as f:
        f.write(json.dumps({"task": "t", "id": "1", "prompt": "a", "output": "abcbcabc"}) + "\n")
    row = json.loads(sim("--replay", path, "--vocab", vocab, "--policy", "off", "-o", "json"))
    assert (row["prompt_tokens"], row["output_tokens"]) == (1, 5), row  # ab c bc ab c


def main():
    with tempfile.TemporaryDirectory() as folder:
        path = write(folder, "r.jsonl.gz", recordings())
        check_replay(path)
        check_drafters(path)
        check_page(path)
        check_routing(folder)
        check_requests(path)
        check_bystanders(write(folder, "crowd.jsonl.gz", crowd()))
        check_curve(path, folder)
        check_refusals(path, folder)
        check_vocabulary(folder)
    assert sim("--synthetic", "400", "--seed", "7").endswith("0 of 400 scenarios broke the bound\n")
    print("slp_sim: replay, shared passes, curves, refusals, vocabulary and the bound are as they should be")


if __name__ == "__main__":
    main()
