#!/usr/bin/env python3
"""The policy library as another engine would take it: copied, built, driven by ctypes.

    test_from_python.py CC POLICY_FOLDER

Copies the folder elsewhere, builds it with nothing but the compiler, and runs the ledger
on a request whose drafts come true for 100 iterations and then never again.
"""
import ctypes as c
import glob
import os
import shutil
import subprocess
import sys
import tempfile


class Plan(c.Structure):
    _fields_ = [(n, c.c_int32) for n in ("draft_tokens", "phase", "reason", "propose")]


class Node(c.Structure):
    _fields_ = [("match", c.c_int32), ("seen", c.c_int32), ("agreed", c.c_int32),
                ("confidence", c.c_float)]


class Draft(c.Structure):
    _fields_ = [("nodes", c.POINTER(Node)), ("n_nodes", c.c_int32), ("drafter", c.c_int32)]


class Step(c.Structure):
    _fields_ = [("drafted", c.c_int32), ("accepted", c.c_int32), ("emitted", c.c_int32),
                ("rows", c.c_int32), ("experts", c.c_int64), ("draft_ns", c.c_uint64),
                ("pass_ns", c.c_uint64), ("other_ns", c.c_uint64),
                ("shadow_compared", c.c_int32), ("shadow_matched", c.c_int32)]


def build(cc, folder, place):
    copy = os.path.join(place, "policy")
    shutil.copytree(folder, copy)
    library = os.path.join(place, "libslp.so")
    subprocess.run([cc, "-std=c99", "-O2", "-shared", "-fPIC", "-o", library,
                    *sorted(glob.glob(os.path.join(copy, "*.c")))], check=True)
    return c.CDLL(library)


def run(slp):
    slp.slp_next.restype = slp.slp_plan_draft.restype = Plan
    slp.slp_controller_init.restype = c.c_void_p
    slp.slp_controller_init.argtypes = [c.c_void_p, c.c_size_t, c.c_void_p]
    slp.slp_plan_draft.argtypes = [c.c_void_p, c.POINTER(Draft)]
    slp.slp_next.argtypes = [c.c_void_p]
    slp.slp_observe.argtypes = [c.c_void_p, c.POINTER(Step)]
    cfg = (c.c_int32 * 256)()  # larger than slp_config
    memory = (c.c_uint64 * 2048)()  # SLP_CONTROLLER_BYTES_MAX
    slp.slp_config_defaults(cfg)
    assert slp.slp_policy_parse(b"ledger:1%", cfg, None) == 0
    ctl = slp.slp_controller_init(memory, c.sizeof(memory), cfg)
    assert ctl, "no controller"
    rows = []
    for i in range(200):
        n = slp.slp_next(ctl).propose
        nodes = (Node * n)(*[Node(5, 2, 2, 0) for _ in range(n)])
        k = slp.slp_plan_draft(ctl, c.byref(Draft(nodes, n, 0))).draft_tokens
        right = n if i < 100 else 0
        step = Step(drafted=k, accepted=min(k, right), emitted=min(k, right) + 1, rows=k + 1,
                    pass_ns=1000000 + 200000 * k)
        if step.accepted == k < n:
            step.shadow_compared, step.shadow_matched = 1, int(right > k)
        assert slp.slp_observe(ctl, c.byref(step)) == 0
        rows.append(k)
    return rows


def main():
    with tempfile.TemporaryDirectory() as place:
        rows = run(build(sys.argv[1], sys.argv[2], place))
    assert rows[0] == 0 and max(rows[60:64]) == 7, f"never speculated in full: {rows}"
    assert rows[-40:] == [0] * 40, f"never stopped: {rows}"
    print("ok: 7 rows while drafts come true, none once they no longer do")


if __name__ == "__main__":
    main()
