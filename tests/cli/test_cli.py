#!/usr/bin/env python3
"""What a user of the command line sees: messages, exit codes, streams, signals.

    test_cli.py SLUICE [NAME ...]     run all tests, or those whose name contains NAME

Needs Python's standard library, the program and the embedded model it finds by itself.
Exit codes of the program: 0 fine, 1 the outside world, 2 the command line.
"""

import json
import math
import os
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import xml.etree.ElementTree

SLUICE = ""
FOLDER = ""
STORY = "Tell a story about a river."
DRAFT = "models/sluice-tiny-draft.gguf"


def sluice(*args, stdin=b"", env=None):
    """Run to the end; returns (exit code, stdout bytes, stderr text)."""
    environment = dict(os.environ, **(env or {}))
    done = subprocess.run([SLUICE, *args], input=stdin, capture_output=True, env=environment,
                          timeout=120, check=False)
    return done.returncode, done.stdout, done.stderr.decode("utf-8", "replace")


def path(name, content=None):
    """A file in this run's own folder, written if content is given."""
    full = os.path.join(FOLDER, name)
    if content is not None:
        with open(full, "wb") as f:
            f.write(content)
    return full


def one_line(text, *words):
    """A complaint is one line that begins with the program's name and has the words."""
    assert text.startswith("sluice: "), text
    assert text.count("\n") == 1 and text.endswith("\n"), text
    for word in words:
        assert word in text, f"{word!r} is not in {text!r}"


def fails(code, args, *words, stdin=b""):
    got, out, err = sluice(*args, stdin=stdin)
    assert got == code, f"{args}: exit code {got}, {err}"
    assert out == b"", f"{args}: {out!r} on stdout"
    one_line(err, *words)


# ---- help, versions, names ------------------------------------------------------------


def test_help_and_version_work_everywhere():
    code, out, err = sluice("--help")
    assert code == 0 and err == ""
    commands = [line.split()[0] for line in out.decode().splitlines() if line.startswith("  ")]
    assert {"run", "chat", "info", "tokenize", "logits", "perplexity", "synth", "expand", "bench"} <= set(commands), commands
    version = sluice("--version")
    assert version[0] == 0 and version[1].startswith(b"sluice ")
    for command in commands:
        code, out, err = sluice(command, "--help")
        assert code == 0 and err == "", command
        assert out.decode().startswith(f"usage: sluice {command} "), command
        assert max(map(len, out.decode().splitlines())) <= 100, command
        assert sluice(command, "--version") == version, command
        assert sluice("help", command) == (code, out, err), command
    assert sluice("help") == sluice("--help")
    fails(2, ["help", "rnu"], "did you mean 'run'?")
    fails(2, ["help", "run", "now"], "'now'")


def test_help_names_every_promised_option():
    _, out, _ = sluice("run", "--help")
    words = set(out.decode().replace(",", " ").split())
    for flag in """-m --model -p --prompt -f --file -sys --system-prompt -n --predict --n-predict
                   -c --ctx-size -t --threads --temp --top-k --top-p --min-p -s --seed
                   --ignore-eos -r --reverse-prompt -ctk --cache-type-k -ctv --cache-type-v
                   --repeat-last-n --repeat-penalty --presence-penalty --frequency-penalty
                   -l --logit-bias --isa --layout --no-mmap --mlock --raw --spec-type --spec-policy --spec-draft-n-max --draft-max
                   -md --spec-draft-model --model-draft --spec-draft-n-min --spec-draft-p-min
                   --spec-ngram-min --spec-ngram-max --expert-budget --spec-trace
                   --stats-json -b --batch-size -ub --ubatch-size --prompt-cache
                   --prompt-cache-all --prompt-cache-ro""".split():
        assert flag in words, flag


def test_who_loads_weights_says_how():
    for command in (["run"], ["chat"], ["logits"], ["perplexity"], ["bench"], ["bench", "--spec"]):
        words = set(sluice(*command, "--help")[1].decode().replace(",", " ").split())
        for flag in ("-b", "-ub", "--layout", "--no-mmap", "--mlock", "--isa", "-ctk", "-t"):
            assert flag in words, (command, flag)


def test_no_command_shows_the_usage_as_an_error():
    code, out, err = sluice()
    assert code == 2 and out == b"" and err.startswith("usage: ")


def test_misspelled_names_get_a_suggestion():
    fails(2, ["rnu"], "'rnu'", "did you mean 'run'?")
    fails(2, ["frobnicate"], "'frobnicate'", "sluice --help")
    fails(2, ["run", "--tmep", "1"], "--tmep", "did you mean --temp?")
    fails(2, ["run", "--tempp=1"], "--tempp;", "did you mean --temp?")
    fails(2, ["run", "--frobnicate"], "--frobnicate", "sluice run --help")
    fails(2, ["run", "word"], "'word'")
    fails(2, ["info", "a", "b"], "'b'")


# ---- values ------------------------------------------------------------------------------

BAD_VALUES = [  # flag, value, what the message must say besides both
    ("-n", "many", "whole number"),
    ("-n", "1.5", "whole number"),
    ("-n", "-2", "-1 .. 2147483647"),
    ("-n", "2147483648", "-1 .. 2147483647"),
    ("-n", "99999999999999999999", "whole number"),
    ("-n", "0x10", "whole number"),
    ("-n", "", "whole number"),
    ("-c", "-1", "0 .. "),
    ("-t", "257", "0 .. 256"),
    ("--temp", "hot", "a number"),
    ("--temp", "-0.1", "0 .. "),
    ("--temp", "nan", "a number"),
    ("--temp", "1e999", "a number"),
    ("--top-k", "x", "whole number"),
    ("--top-p", "0", "above 0 and at most 1"),
    ("--top-p", "1.01", "above 0 and at most 1"),
    ("--min-p", "2", "0 .. 1"),
    ("-s", "-2", "-1 or more"),
    ("--repeat-last-n", "-2", "-1 .. "),
    ("--repeat-penalty", "0", "above 0"),
    ("--presence-penalty", "much", "a number"),
    ("--frequency-penalty", "nan", "a number"),
    ("--logit-bias", "7", "token id, + or -"),
    ("--logit-bias", "+1", "token id, + or -"),
    ("--logit-bias", "7+", "token id, + or -"),
    ("--logit-bias", "7+inf", "token id, + or -"),
    ("--logit-bias", "7+-1", "token id, + or -"),
    ("--logit-bias", "99999999999+1", "token id, + or -"),
    ("-ctk", "q4_0", "f16, f32 or q8_0"),
    ("-ctv", "f64", "f16, f32 or q8_0"),
    ("--layout", "upside-down", "auto, packed or mapped"),
    ("--isa", "mmx", "kernel table"),
    ("--spec-type", "eagle", "none, or of ngram-simple, suffix and draft-simple"),
    ("--spec-type", "ngram,ngram-simple", "each at most once"),
    ("--spec-type", "none,suffix", "none, or of"),
    ("--spec-type", "suffix,", "none, or of"),
    ("--spec-draft-n-min", "65", "0 .. 64"),
    ("--spec-draft-p-min", "1.5", "0 .. 1"),
    ("--spec-policy", "turbo", "off, static:K"),
    ("--spec-policy", "static", "static:K"),
    ("--spec-policy", "static:65", "0 .. 64"),
    ("--spec-draft-n-max", "65", "-1 .. 64"),
    ("--draft-max", "x", "-1 .. 64"),
    ("--spec-ngram-min", "-1", "0 .. 16"),
    ("--spec-ngram-max", "17", "1 .. 16"),
    ("--expert-budget", "moespec", "moespec:B"),
    ("--expert-budget", "moespec:", "moespec:B"),
    ("--expert-budget", "moespec:16,round", "substitute|truncate"),
    ("--spec-trace", "-", "standard output carries the text"),
    ("--stats-json", "-", "standard output carries the text"),
]

BAD_ROWS = ["", "0", "66", "1,,2", "1,", ",1", "1;2", "x", ",".join(["1"] * 33), "1..", "..3",
            "1..33", "4..3", "1...3", "1-3", "-1", "99999999999", "1..99999999999"]


def test_impossible_values_name_flag_value_and_expectation():
    for flag, value, expected in BAD_VALUES:
        fails(2, ["run", "-p", "x", flag, value], f"{flag} {value}: expected ", expected)
        if flag.startswith("--"):
            fails(2, ["run", "-p", "x", f"{flag}={value}"], f"{flag} {value}: ", expected)


def test_rows_of_a_curve_are_a_list_of_numbers():
    for rows in BAD_ROWS:
        fails(2, ["bench", f"--rows={rows}"], f"--rows {rows}: expected ", "1,2,4,8")
    fails(2, ["bench", "-t", "1,257"], "-t 1,257: expected ", "0 .. 256")
    fails(2, ["bench", "-d", "0,1048577"], "-d 0,1048577: expected ", "0 .. 1048576")


def traced(name, *args):
    """A request's trace: its path and its records."""
    file = path(name)
    code, _, err = sluice("run", "-f", "examples/prompts/edit.txt", "-n", "60", "--temp", "0",
                          "--spec-trace", file, *args)
    assert code == 0, err
    with open(file, encoding="utf-8") as f:
        return file, [json.loads(line) for line in f]


def test_a_trace_is_told_and_drawn():
    """Fails if a pass is not counted, a reason not said, or a chart is missing or broken."""
    for policy, charts in (("ledger", 8), ("static:3", 7)):
        file, records = traced("t.jsonl", "--spec-policy", policy)
        page = path("t.html")
        code, out, err = sluice("trace", file, "-o", page)
        assert code == 0 and err == "", err
        text = out.decode()
        kept = sum(r["accepted"] for r in records)
        assert f"trace       {len(records)} iterations, {len(records) + kept} tokens" in text, text
        assert f"kept {kept} of {sum(r['drafted'] for r in records)}" in text, text
        assert ("ledger      " in text) == (policy == "ledger"), text
        reason = {"ledger": "pay", "static:3": "the policy always plans this K"}[policy]
        assert reason in text, text
        root = xml.etree.ElementTree.parse(page).getroot()
        space = "{http://www.w3.org/1999/xhtml}"
        assert sum(e.tag.endswith("svg") for e in root.iter()) == charts
        assert any(reason in (e.text or "") for e in root.iter() if e.tag.endswith("title"))
        assert sum(1 for _ in root.iter(f"{space}table")) == 1


def test_a_trace_of_odd_numbers_is_told_and_drawn_too():
    """Fails if a note outgrows its place, or something is divided by no time at all."""
    _, records = traced("t.jsonl", "--spec-policy", "ledger", "-n", "3")
    for ns in (0, 10**18):
        odd = {key: ns for key in records[0] if key.endswith("_ns") or key == "expected_tokens"}
        odd |= {"drafted": 2**31 - 1, "match": 2**31 - 1, "drafter": "d" * 31, "phase": "p" * 31,
                "reason": "r" * 31, "accepted": 0, "position": 2**31 - 3}
        file = path("odd.jsonl", "".join(json.dumps({**records[0], **odd, "iteration": i,
                    "position": odd["position"] + i}) + "\n" for i in range(3)).encode())
        page = path("odd.html")
        code, out, err = sluice("trace", file, "-o", page)
        assert code == 0 and err == "", err
        assert b"nan" not in out and b"inf" not in out, out
        assert xml.etree.ElementTree.parse(page).getroot() is not None


def test_what_is_no_trace_is_said_with_its_line():
    file, records = traced("t.jsonl", "--spec-policy", "ledger")
    lines = [json.dumps(r) for r in records]

    def wrong(lines, *words, end="\n"):
        bad = path("bad.jsonl", "\n".join(lines).encode() + end.encode())
        fails(1, ["trace", bad], "bad.jsonl", *words)

    wrong(lines[:3], "line 3: cut off", end="")
    wrong(lines[:2] + [lines[2][:30]], "line 3: no record of a trace: ")
    wrong(lines[:1] + ["[1]"], "line 2: no record of a trace")
    wrong(lines[:1] + ['{"a":1}'], 'line 2: no "iteration"')
    wrong(lines[:2] + lines[3:], "line 3: iteration 3, expected 2")
    wrong([json.dumps({**records[0], "accepted": 99})], 'line 1: "accepted"')
    wrong([json.dumps({**records[0], "pass_ns": -1})], 'line 1: "pass_ns": expected nanoseconds')
    wrong([json.dumps({**records[0], "pass_ns": 1e300})], '"pass_ns": expected nanoseconds, 0 .. ')
    wrong([json.dumps({**records[0], "loss_ns": -1e300})], '"loss_ns": expected a number up to')
    wrong([json.dumps({**records[0], "drafter": 7})], 'line 1: "drafter": expected a word')
    wrong([lines[0], json.dumps({**records[1], "position": 1})], 'line 2: "position"')
    wrong([], "no lines", end="")
    fails(1, ["trace", path("none.jsonl")], "none.jsonl")
    fails(1, ["trace", file, "-o", path("no/folder.html")], "no/folder.html")
    fails(2, ["trace"], "expected a trace")


def test_names_of_synthetic_models_are_listed():
    for like in ("olmoe-1b-7b", "qwen3-30b-a3b", "mixtral-8x7b", "gpt-oss-20b", "qwen1.5-moe",
                 "phi-3.5-moe", "deepseek-moe-16b", "qwen3-8b"):
        fails(2, ["synth", "--like", "gpt-2"], "--like gpt-2: expected ", like)
    for kind in ("f16", "q8_0", "q4_0", "q4_k_m", "q5_k_m", "mxfp4_moe"):
        fails(2, ["synth", "--type", "q9"], "--type q9: expected ", kind)
    fails(1, ["synth", "--like", "olmoe-1b-7b", "--type", "q4_0", "-o", path("no/folder")],
          "no/folder")


def test_what_cannot_be_expanded_is_said():
    def expand(*args):
        return ["expand", *args, "-o", path("big.gguf")]

    fails(2, expand("--like", "gpt-2"), "--like gpt-2: expected ", "qwen3-30b-a3b")
    fails(2, expand("--like", "olmoe-1b-7b", "--type", "q4_0"), "--type q4_0: expected keep")
    fails(2, expand("--like", "olmoe-1b-7b", "--layers", "5"), "layers: 5 cannot hold", "6")
    fails(2, expand("--like", "gpt-oss-20b"), "width: 2880 cannot hold")
    fails(2, expand("--like", "deepseek-moe-16b"), "shared experts")
    fails(2, expand("--like", "qwen3-8b"), "a Mixture-of-Experts model in a dense shape")
    fails(1, expand("--like", "tiny", path("none.gguf")), "none.gguf: No such file")
    fails(1, expand("--like", "qwen3-30b-a3b", "--layers", "1000"), "the file needs ", "free")
    assert not os.path.exists(path("big.gguf"))


def test_missing_and_unwanted_values_are_said():
    fails(2, ["run", "-p"], "-p: expected TEXT")
    fails(2, ["run", "-p", "x", "-n"], "-n: expected N")
    fails(2, ["run", "-p", "--temp", "1"], "-p: expected TEXT", "--temp")
    fails(2, ["run", "-p", "x", "--raw=yes"], "--raw", "'yes'")


def test_options_that_contradict_each_other_are_refused():
    fails(2, ["run", "-p", "x", "-f", "y"], "-p and -f")
    fails(2, ["run", "-p", "x", "--raw", "-sys", "y"], "-sys", "--raw")
    fails(2, ["run", "-p", "x", "--spec-ngram-min", "4", "--spec-ngram-max", "3"],
          "--spec-ngram-min 4", "--spec-ngram-max", "3")
    fails(2, ["tokenize", "-p", "x", "--chat", "--special"], "--special", "--chat")
    fails(2, ["synth", "--type", "q8_0", "-o", "x"], "--like: expected")
    fails(2, ["synth", "--like", "olmoe-1b-7b", "-o", "x"], "--type: expected")
    fails(2, ["synth", "--like", "olmoe-1b-7b", "--type", "q8_0"], "-o: expected")
    fails(2, ["expand", "-o", "x"], "--like: expected")
    fails(2, ["expand", "--like", "olmoe-1b-7b"], "-o: expected")
    fails(2, ["logits", "--ids", "x"], "-o: expected a file")
    fails(2, ["logits", "-o", "x"], "--ids: expected a file")


def test_a_budget_below_the_experts_per_token_is_refused():
    fails(2, ["run", "-p", "x", "--expert-budget", "moespec:1"], "1")


# ---- input --------------------------------------------------------------------------------


def test_prompts_that_are_no_text_are_refused_with_the_place():
    fails(2, ["run", "-p", ""], "-p: expected some text")
    fails(2, ["run", "-p", "x", "-r", ""], "-r: expected some text")
    fails(2, ["run", "-p", b"abc\xff"], "-p: ", "byte 3 is 0xFF")
    fails(2, ["run", "-p", "x", "-sys", b"\xc3"], "-sys: ", "byte 0 is 0xC3")
    fails(1, ["run"], "standard input: expected some text")
    fails(1, ["run"], "standard input: expected some text", stdin=b"\n")
    fails(1, ["run"], "byte 2 is zero", stdin=b"ab\0c")
    fails(1, ["run", "-f", "-"], "byte 4 is 0xE2", stdin=b"\xf0\x9f\x98\x80\xe2\x28")
    fails(1, ["run", "-f", path("surrogate", b"a\xed\xa0\x80")], "surrogate: ", "byte 1 is 0xED")
    fails(1, ["run", "-f", path("missing")], "missing: No such file")
    fails(1, ["run", "-f", FOLDER], "Is a directory")


def test_a_prompt_is_the_same_from_everywhere():
    args = ["-n", "12", "-s", "1", "-q"]
    want = sluice("run", "-p", STORY, *args)
    assert want[0] == 0 and len(want[1]) > 0 and want[2] == "", want
    text = STORY.encode()
    assert sluice("run", *args, stdin=text) == want
    assert sluice("run", *args, stdin=text + b"\n") == want
    assert sluice("run", "-f", "-", *args, stdin=text) == want
    assert sluice("run", "-f", path("story", text), *args) == want
    assert sluice("run", f"--prompt={STORY}", "--predict=12", "--seed=1", "--quiet") == want


def test_files_that_are_not_there_or_no_model_are_named():
    fails(1, ["run", "-p", "x", "-m", path("none.gguf")], "none.gguf")
    fails(1, ["info", path("none.gguf")], "none.gguf")
    fails(1, ["run", "-p", "x", "--stats-json", path("no/such/folder")], "no/such/folder")
    fails(1, ["run", "-p", "x", "--spec-trace", path("no/such/folder")], "no/such/folder")
    fails(1, ["logits", "--ids", path("ids", b"1 2\n"), "-o", path("no/such/folder")],
          "no/such/folder")


def test_a_damaged_model_is_refused():
    fails(1, ["run", "-p", "x", "-m", path("text.gguf", b"this is no model\n" * 100)],
          "text.gguf")
    fails(1, ["info", path("empty.gguf", b"")], "empty.gguf")


def test_output_files_are_opened_before_the_model():
    fails(1, ["run", "-p", "x", "-m", path("none.gguf"), "--stats-json", path("no/folder")],
          "no/folder")


def test_a_prompt_longer_than_the_context_is_refused():
    fails(1, ["run", "-p", "word " * 300, "-c", "64"], "-p: ", "64")


def test_a_context_beyond_the_training_is_noted():
    code, _, err = sluice("run", "-p", STORY, "-n", "1", "-c", "100000")
    assert code == 0 and err.startswith("sluice: note: -c 100000 is more than the "), err


# ---- running --------------------------------------------------------------------------------


def stats_of(*args):
    stats = path("stats.json")
    code, out, err = sluice("run", "--stats-json", stats, *args)
    assert code == 0, err
    with open(stats, encoding="utf-8") as f:
        return json.load(f), out, err


def test_statistics_have_the_promised_names():
    stats, out, err = stats_of("-p", STORY, "-n", "20", "-s", "7", "--ignore-eos")
    for key in """tokens passes rows drafted accepted k_histogram utility_mean
                  experts_per_layer_pass decode_seconds prompt_seconds stop_reason lossy
                  budget_mass logits_hash""".split():
        assert key in stats, key
    assert stats["tokens"] == 20 and stats["stop_reason"] == "length"
    assert sum(stats["k_histogram"]) == stats["passes"]
    assert stats["rows"] == stats["passes"] + stats["drafted"]
    assert stats["lossy"] is False and len(stats["logits_hash"]) == 16
    assert stats["settings"]["seed"] == 7
    assert len(out) > 0 and "20 tokens" in err and "seed 7" in err


def test_a_trace_has_one_object_per_iteration():
    trace = path("trace.jsonl")
    stats, _, _ = stats_of("-p", STORY, "-n", "16", "--ignore-eos", "--spec-trace", trace)
    with open(trace, encoding="utf-8") as f:
        records = [json.loads(line) for line in f]
    assert len(records) == stats["passes"]
    assert [r["iteration"] for r in records] == list(range(len(records)))
    assert sum(r["drafted"] for r in records) == stats["drafted"]
    assert sum(r["accepted"] for r in records) == stats["accepted"]
    for key in "k phase utility experts draft_ns pass_ns other_ns drafter match position".split():
        assert key in records[0], key


def test_speculation_changes_no_byte():
    copying = "Repeat this list: one two three four one two three four one two three four"
    args = ["-p", copying, "-n", "48", "-s", "3", "--ignore-eos"]
    plain, text, _ = stats_of(*args, "--spec-policy", "off")
    assert plain["drafted"] == 0
    for policy in ["static:4", "static:1", "cascade"]:
        for threads, drafter in [("1", "ngram-simple"), ("2", "suffix")]:
            stats, out, err = stats_of(*args, "--spec-policy", policy, "-t", threads,
                                       "--spec-type", drafter)
            assert f"{drafter}, policy {policy}" in err
            assert out == text, policy
            assert stats["logits_hash"] == plain["logits_hash"], policy
            assert stats["token_hash"] == plain["token_hash"], policy


def test_penalties_and_biases_reach_the_sampler():
    args = ["-p", STORY, "-n", "40", "-s", "3", "--ignore-eos", "--temp", "0"]
    _, plain, err = stats_of(*args)
    assert "penalties" not in err and "logit bias" not in err, err
    code, out, _ = sluice("tokenize", stdin=plain)
    assert code == 0
    first = out.split()[0].decode()
    stats, out, err = stats_of(*args, "--repeat-penalty", "1.5", "--repeat-last-n", "-1",
                               "--frequency-penalty", "9", "-l", "5-0.25")
    assert out != plain and "1.5 repeat, 0 presence, 9 frequency, all tokens" in err, err
    settings = stats["settings"]
    assert settings["repeat_penalty"] == 1.5 and settings["logit_bias"] == [[5, -0.25]]
    assert stats_of(*args, "--logit-bias", f"{first}-inf")[1] != plain
    assert stats_of(*args, "--presence-penalty", "0", "--repeat-penalty", "1.0")[1] == plain
    fails(2, ["run", "-p", "x", "-l", "999999-1"], "logit bias of token 999999", "0 .. ")


def test_a_prompt_cache_changes_the_work_and_no_byte():
    file, prompt = path("prompt.cache"), " ".join(map(str, range(100))) + " " + STORY
    args = ("run", "-s", "3", "-n", "20")
    plain = sluice(*args, "-p", prompt, "-q")[1]
    cached = (*args, "--prompt-cache", file)
    code, first, err = sluice(*cached, "-p", prompt)
    assert code == 0 and first == plain and "note: 0 of " in err, err
    written = os.stat(file)
    code, again, err = sluice(*cached, "-p", prompt, "-t", "1", "-c", "700")
    total = int(err.split(" prompt tokens came from ")[0].split()[-1])
    assert code == 0 and again == plain and f"note: {total - 1} of {total} " in err, err
    assert os.stat(file).st_mtime_ns == written.st_mtime_ns  # there was nothing to add

    longer = prompt + " Then tell it again, shorter."
    plain = sluice(*args, "-p", longer, "-q")[1]
    code, out, err = sluice(*cached, "-p", longer, "--prompt-cache-ro")
    assert code == 0 and out == plain and 0 < int(err.split("note: ")[1].split()[0]) < total, err
    assert os.stat(file).st_mtime_ns == written.st_mtime_ns
    assert sluice(*cached, "-p", longer, "-q")[1] == plain
    assert os.stat(file).st_size > written.st_size
    assert sluice(*cached, "-p", longer, "-q", "--prompt-cache-all")[1] == plain


def test_a_prompt_cache_that_does_not_fit_is_an_error_and_stays():
    file = path("other.cache")
    assert sluice("run", "-p", STORY, "-n", "1", "--prompt-cache", file)[0] == 0
    with open(file, "rb") as f:
        content = f.read()
    run = ["run", "-p", STORY, "-n", "1", "--prompt-cache"]
    fails(1, [*run, file, "-ctv", "q8_0"], file, "values in f16", "f16 and q8_0")
    fails(1, [*run, path("short.cache", content[:-5])], "short.cache", "cut short")
    fails(1, [*run, path("text.cache", b"hello")], "text.cache: not a prompt cache")
    fails(1, [*run, path("none.cache"), "--prompt-cache-ro"], "none.cache", "No such file")
    fails(2, ["run", "-p", "x", "--prompt-cache-ro"], "--prompt-cache FILE")
    with open(file, "rb") as f:
        assert f.read() == content
    with open(path("text.cache"), "rb") as f:
        assert f.read() == b"hello"


def test_smaller_passes_change_memory_and_no_byte():
    args = ("run", "-s", "3", "-n", "20", "-q", "-p", STORY)
    plain = sluice(*args)[1]
    for flags in (("-b", "4"), ("-ub", "3"), ("-b", "4096", "-ub", "100000"), ("-b", "1")):
        assert sluice(*args, *flags) == (0, plain, ""), flags
    memory = [json.loads(sluice("info", "--json", *flags)[1])["session_bytes"]
              for flags in ((), ("-ub", "512"), ("-ub", "64"), ("-b", "64"))]
    assert memory[0] == memory[1] > memory[2] == memory[3], memory


def test_a_draft_model_changes_no_byte_and_is_named():
    args = ["-p", STORY, "-n", "48", "-s", "3", "--temp", "0.7"]
    _, text, _ = stats_of(*args, "--spec-policy", "off")
    for types, policy in [(None, "static:3"), ("ngram,draft", "cascade"), ("suffix,draft", "ledger")]:
        more = ["--spec-type", types] if types else []
        stats, out, err = stats_of(*args, "-md", DRAFT, "--spec-policy", policy, *more)
        assert out == text, policy
        assert "draft-simple" in stats["settings"]["spec_type"] and "draft-simple" in err
        assert sum(d["drafted"] for d in stats["drafters"].values()) == stats["drafted"]
    assert stats_of(*args, "-md", DRAFT, "--spec-policy", "static:3")[0]["accepted"] > 10


def test_a_draft_model_must_fit():
    fails(2, ["run", "-p", "x", "--spec-type", "draft"], "--spec-type draft-simple", "-md FILE")
    fails(2, ["run", "-p", "x", "--spec-type", "suffix", "-md", DRAFT], "-md", "draft-simple")
    fails(1, ["run", "-p", "x", "-md", "missing.gguf"], "missing.gguf", "")


def test_a_random_seed_is_shown_and_repeats_the_text():
    args = ["-p", STORY, "-n", "24", "--ignore-eos", "--temp", "1.5"]
    first, text, err = stats_of(*args)
    seed = str(first["settings"]["seed"])
    assert f"seed {seed}" in err
    assert stats_of(*args, "-s", seed)[1] == text
    assert stats_of(*args)[0]["settings"]["seed"] != first["settings"]["seed"]


def test_a_budget_is_called_lossy():
    stats, _, err = stats_of("-p", STORY, "-n", "8", "--expert-budget", "moespec:16,truncate",
                             "--spec-policy", "static:3")
    assert stats["lossy"] is True and "LOSSY" in err


def test_a_stop_string_ends_the_text_before_it():
    args = ["-p", STORY, "-n", "60", "-s", "5", "--temp", "0", "--ignore-eos"]
    _, whole, _ = stats_of(*args)
    word = whole.decode("utf-8", "replace")[20:24]
    stats, out, _ = stats_of(*args, "-r", word)
    assert stats["stop_reason"] == "string", word
    assert out == whole[:whole.index(word.encode())]


def test_no_tokens_is_a_possible_wish():
    stats, out, _ = stats_of("-p", STORY, "-n", "0")
    assert stats["tokens"] == 0 and out == b"" and stats["stop_reason"] == "length"


def test_the_end_of_the_context_is_said():
    stats, _, err = stats_of("-p", STORY, "-c", "64", "--ignore-eos")
    assert stats["stop_reason"] == "context" and "the context is full" in err
    assert stats["prompt_tokens"] + stats["tokens"] in (64, 65)


def test_quiet_leaves_stderr_empty():
    code, _, err = sluice("run", "-p", STORY, "-n", "2", "-q")
    assert code == 0 and err == ""


# ---- pipes and signals -----------------------------------------------------------------------


def start(*args):
    return subprocess.Popen([SLUICE, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE)


def finish(process):
    """Wait without reading stdout, which may be closed."""
    err = process.stderr.read().decode("utf-8", "replace")
    process.stderr.close()
    return process.wait(timeout=60), err


# Seconds of work, so that it is certainly still running when something happens to it.
LONG = ["run", "-p", STORY, "-n", "900", "--ignore-eos", "-s", "1", "--isa", "scalar"]


def test_a_reader_that_leaves_ends_the_run_quietly():
    process = start(*LONG)
    assert len(process.stdout.read(10)) == 10
    process.stdout.close()
    code, err = finish(process)
    assert code == 0, err
    assert "output " in err and "sluice: " not in err, err


def test_ctrl_c_stops_and_still_prints_the_summary():
    for sent in (signal.SIGINT, signal.SIGTERM):
        stats = path("interrupted.json")
        process = start(*LONG, "--stats-json", stats)
        process.stdout.read(10)
        process.send_signal(sent)
        process.stdout.read()
        process.stdout.close()
        code, err = finish(process)
        assert code == 0 and "stopped: interrupted" in err, err
        with open(stats, encoding="utf-8") as f:
            record = json.load(f)
        assert record["stop_reason"] == "caller" and 0 < record["tokens"] < 900


def test_text_arrives_while_it_is_generated():
    process = start(*LONG)
    process.stdout.read(1)
    assert process.poll() is None
    process.kill()
    process.stdout.close()
    finish(process)


def test_a_full_disk_is_an_error():
    if not os.path.exists("/dev/full"):
        return
    with open("/dev/full", "wb") as full:
        done = subprocess.run([SLUICE, *LONG, "-q"], stdout=full, stdin=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, timeout=60, check=False)
    assert done.returncode == 1
    one_line(done.stderr.decode(), "standard output: No space left")
    for args in (["info"], ["info", "--json"], ["tokenize", "-p", "x"], ["--help"], ["--version"],
                 ["run", "--help"], ["perplexity", "-c", "4", "-p", STORY]):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([SLUICE, *args], stdout=full, stdin=subprocess.DEVNULL,
                                  stderr=subprocess.PIPE, timeout=60, check=False)
        assert done.returncode == 1, args
        one_line(done.stderr.decode(), "standard output: No space left")
    trace = path("full.jsonl")
    assert sluice("run", "-p", "x", "-n", "8", "-q", "--spec-trace", trace)[0] == 0
    for args in (["run", "-p", "x", "-n", "1", "-q", "--stats-json", "/dev/full"],
                 ["run", "-p", "x", "-n", "99", "--ignore-eos", "-q", "--spec-trace", "/dev/full"],
                 ["trace", trace, "-o", "/dev/full"]):
        code, _, err = sluice(*args)
        assert code == 1, args
        one_line(err, "/dev/full: No space left")


def test_two_at_once_do_not_disturb_each_other():
    args = ["run", "-p", STORY, "-n", "40", "-s", "9", "--ignore-eos", "-q", "-t", "8"]
    want = sluice(*args)[1]
    pair = [start(*args), start(*args)]
    for process in pair:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0 and out == want, err


# ---- the other commands ------------------------------------------------------------------------


def test_info_tells_people_and_programs_the_same():
    code, text, err = sluice("info")
    assert code == 0 and err == ""
    code, out, err = sluice("info", "--json", "-c", "512")
    facts = json.loads(out)
    assert code == 0 and facts["context"] == 512 and facts["session_bytes"] > 0
    assert facts["experts_per_token"] <= facts["experts"]
    assert f"{facts['experts_per_token']} of {facts['experts']} per token" in text.decode()
    assert any(kernel["usable"] for kernel in facts["kernels"])
    assert sum(t["bytes"] for t in facts["types"]) == facts["weight_bytes"]


def test_tokenize_counts_what_it_prints():
    text = "naïve 😀 text,\n  with <|im_end|> in it"
    code, out, err = sluice("tokenize", "-p", text)
    assert code == 0 and err == ""
    ids = [int(word) for word in out.split()]
    assert sluice("tokenize", "-p", text, "--count")[1] == b"%d\n" % len(ids)
    pieces = sluice("tokenize", "--pieces", stdin=text.encode())[1].decode().splitlines()
    assert [int(line.split("\t")[0]) for line in pieces] == ids
    special = sluice("tokenize", "-p", text, "--special")[1].split()
    assert len(special) <= len(ids)
    chat = sluice("tokenize", "-p", text, "--chat")[1].split()
    assert len(chat) > len(ids)


def test_logits_of_a_line_do_not_depend_on_the_others():
    vocab = json.loads(sluice("info", "--json")[1])["vocab"]
    lines = [" ".join(str(i % 200) for i in range(n, 2 * n)) for n in (1, 70, 5)]
    whole = path("whole.bin")
    code, out, err = sluice("logits", "--ids", path("ids", "\n".join(lines).encode()), "-o", whole)
    assert code == 0 and out == b"" and err == "", err
    with open(whole, "rb") as f:
        logits = f.read()
    assert len(logits) == 76 * vocab * 4
    alone = path("alone.bin")
    assert sluice("logits", "--ids", "-", "-o", alone, stdin=lines[2].encode())[0] == 0
    with open(alone, "rb") as f:
        assert f.read() == logits[71 * vocab * 4:]
    assert all(abs(x) < 1e6 for x in struct.unpack(f"{vocab}f", logits[:vocab * 4]))
    for batch in (["-ub", "3"], ["-b", "7"]):
        assert sluice("logits", "--ids", path("ids"), "-o", alone, *batch)[0] == 0
        with open(alone, "rb") as f:
            assert f.read() == logits


def test_perplexity_is_that_of_the_logits():
    text = ("The river ran past the mill, and the heron stood in it and waited. " * 12).encode()
    ids = [int(word) for word in sluice("tokenize", stdin=text)[1].split()]
    vocab = json.loads(sluice("info", "--json")[1])["vocab"]
    size = 24
    chunks = [ids[i:i + size] for i in range(0, len(ids) - size + 1, size)]
    lines = "\n".join(" ".join(map(str, chunk)) for chunk in chunks).encode()
    dump = path("perplexity.bin")
    assert sluice("logits", "--ids", "-", "-o", dump, stdin=lines)[0] == 0
    with open(dump, "rb") as f:
        rows = list(struct.iter_unpack(f"<{vocab}f", f.read()))
    surprises = []
    for c, chunk in enumerate(chunks):
        for at in range(size // 2, size - 1):
            row = rows[c * size + at]
            largest = max(row)
            total = sum(math.exp(x - largest) for x in row)
            surprises.append(math.log(total) + largest - row[chunk[at + 1]])
    n = len(surprises)
    mean = sum(surprises) / n
    error = math.sqrt((sum(x * x for x in surprises) / n - mean * mean) / (n - 1))

    code, out, err = sluice("perplexity", "-c", str(size), "--json", stdin=text)
    have = json.loads(out)
    assert code == 0 and err == "", err
    assert have["chunks"] == len(chunks) > 3 and have["predicted"] == n
    assert abs(have["nll"] - mean) < 1e-9 and abs(have["nll_standard_error"] - error) < 1e-9
    assert abs(have["perplexity"] - math.exp(mean)) < 1e-6
    assert abs(have["standard_error"] - error * math.exp(mean)) < 1e-6
    assert abs(sum(have["chunk_nll"]) / len(chunks) - mean) < 1e-9
    two = json.loads(sluice("perplexity", "-c", str(size), "--chunks", "2", "-t", "1", "--json",
                            "-f", path("text", text))[1])
    assert two["chunk_nll"] == have["chunk_nll"][:2]
    few = json.loads(sluice("perplexity", "-c", str(size), "--json", "-ub", "5", stdin=text)[1])
    assert few["chunk_nll"] == have["chunk_nll"]
    code, out, _ = sluice("perplexity", "-c", str(size), stdin=text)
    assert code == 0 and f"perplexity {math.exp(mean):.4f} +- ".encode() in out, out


def test_perplexity_needs_a_chunk_of_text():
    fails(1, ["perplexity", "-p", "Too short."], "-p: expected 512 tokens or more", "found")
    fails(1, ["perplexity", "-f", path("missing")], "missing: No such file")
    fails(2, ["perplexity", "-p", "x", "-c", "3"], "-c 3: expected ", "4 .. ")
    fails(2, ["perplexity", "-p", "x", "-f", "y"], "-p and -f")


def test_an_interrupted_perplexity_tells_what_it_has():
    text = path("long", b"The river ran past the mill, and the heron waited. " * 4000)
    for seconds in (1, 4, 16):  # until a busy machine got through a chunk
        process = start("perplexity", "-f", text, "-c", "16", "--json", "--isa", "scalar")
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        if process.returncode == 0:
            break
        assert process.returncode != 1 or b"before the first chunk" in err, err
    assert process.returncode == 0, err
    have = json.loads(out)
    assert have["interrupted"] is True and 0 < have["chunks"] < have["tokens"] // 16
    assert len(have["chunk_nll"]) == have["chunks"]


def test_bad_ids_are_refused_with_their_line():
    out = path("bad.bin")
    for content, words in [(b"1 2\n3 x\n", ["line 2", "'x'"]), (b"-1\n", ["line 1", "'-1'"]),
                           (b"999999999\n", ["line 1"]), (b"\n\n", ["found none"]),
                           (b"1\0 2\n", ["zero byte"])]:
        fails(1, ["logits", "--ids", path("ids", content), "-o", out], "ids", *words)


def test_bench_prints_the_same_points_in_every_format():
    args = ["bench", "-r", "1", "--rows", "1,3", "-p", "16", "-d", "16", "--bandwidth-mib", "256"]
    cache = {"XDG_CACHE_HOME": path("cache")}
    code, out, err = sluice(*args, "-o", "json", env=cache)
    assert code == 0 and err == "", err
    report = json.loads(out)
    assert [(p["tokens"], p["rows"]) for p in report["points"]] == [
        ("random", 1), ("random", 3), ("same", 1), ("same", 3)]
    assert report["bandwidth_all"] > 1e8 and report["points"][0]["time_ratio"] == 1
    assert report["points"][1]["experts_per_layer"] >= report["points"][3]["experts_per_layer"]
    with open(path("cache/sluice/bandwidth.json"), encoding="utf-8") as f:
        remembered = json.load(f).values()
    assert any(abs(x / report["bandwidth_all"] - 1) < 1e-6 for x in remembered)
    code, out, err = sluice(*args, "-o", "csv", env=cache)
    lines = out.decode().splitlines()
    assert code == 0 and len(lines) == 5 and len({line.count(",") for line in lines}) == 1
    code, out, err = sluice(*args, env=cache)
    assert code == 0 and out.count(b"| random |") == 2 and out.count(b"| same   |") == 2


def test_bench_takes_lists_of_threads_and_depths():
    """Fails if a pair is left out or measured with another's threads or depth."""
    args = ["bench", "-r", "2", "--rows", "1..2", "-p", "8", "-t", "1..2", "-d", "0,24,8",
            "-ub", "4", "--bandwidth-mib", "0"]
    pairs = [(t, d) for t in (1, 2) for d in (0, 24, 8)]
    code, out, err = sluice(*args, "-o", "json")
    assert code == 0 and err == "", err
    reports = json.loads(out)
    assert [(r["threads"], r["depth"]) for r in reports] == pairs
    for r in reports:
        assert [p["rows"] for p in r["points"]] == [1, 2, 1, 2]
        assert all(p["seconds_min"] <= p["seconds"] <= p["seconds_max"] for p in r["points"])
        first = reports[0 if r["threads"] == 1 else 3]
        assert r["prompt_tokens_per_second"] == first["prompt_tokens_per_second"] > 0
    kv = {r["depth"]: r["points"][0]["kv_bytes"] for r in reports}
    assert kv[0] < kv[8] < kv[24]  # a row reads what is below it
    code, out, err = sluice(*args, "-o", "csv")
    lines = [line.split(",") for line in out.decode().splitlines()]
    at = lines[0].index("threads")
    assert code == 0 and [tuple(map(int, line[at:at + 2])) for line in lines[1::4]] == pairs
    code, out, err = sluice(*args)
    text = out.decode()
    assert code == 0 and text.count("Verification curve with -t ") == 6
    for t, d in pairs:
        assert f"\n| {t:7} | {d:5} | " in text, text


def main(namespace):
    """Run the tests of a module as its command line says; the exit code."""
    global SLUICE, FOLDER
    SLUICE = os.path.abspath(sys.argv[1])
    wanted = sys.argv[2:]
    failed = 0
    tests = [(n, f) for n, f in namespace.items() if n.startswith("test_") and callable(f)]
    with tempfile.TemporaryDirectory() as folder:
        FOLDER = folder
        for name, test in tests:
            if wanted and not any(word in name for word in wanted):
                continue
            begin = time.monotonic()
            try:
                test()
                print(f"ok    {time.monotonic() - begin:5.1f} s  {name}")
            except (AssertionError, subprocess.TimeoutExpired, OSError, ValueError, KeyError):
                failed += 1
                print(f"FAIL  {time.monotonic() - begin:5.1f} s  {name}")
                traceback.print_exc(file=sys.stdout)
    print(f"{failed} failed" if failed else "all passed")
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(main(globals()))
