#!/usr/bin/env python3
"""Who may include whom, and other rules that a tree keeps only if a test does.

    layers.py [ROOT]      first proves on made-up trees that it notices violations,
                          then checks the tree

Bottom to top; a layer may include itself and what its row names:

    include/sluice   nothing but <stddef.h>, <stdint.h> and itself
    policy           a library of its own: nothing else of the tree, no clock, no heap
    report           charts and pages: nothing else of the tree
    src/base         include/sluice
    src/runtime      base
    src/kernels      runtime, base
    src/model        kernels, runtime, base
    src/spec         base
    src/engine       all of src, and the policy library's public header
    cli              include/sluice and report; examples include/sluice and the policy library's
                     header
    bench            all of these, and base, model and spec of src: it drafts without an engine
    tests            anything; tests/policy only the policy library's header and constants

Also: a library belongs to the folders that may use it; source files are at most 1500
lines (a warning from 1000); every C file opens with a comment that begins with its name;
file names are unique, except that a private header may be called like its public one,
and that policy/ can leave the tree and counts alone.
"""
import os
import re
import sys
import tempfile

LINES_MAX, LINES_WARN = 1500, 1000
PUBLIC, POLICY, POLICY_HEADER = "include/sluice", "policy", "policy/sluice_policy.h"

# folder -> folders or files it may include beside itself
LAYERS = {
    PUBLIC: [],
    POLICY: [],
    "report": [],
    "src/base": [PUBLIC],
    "src/runtime": [PUBLIC, "src/base"],
    "src/kernels": [PUBLIC, "src/base", "src/runtime"],
    "src/model": [PUBLIC, "src/base", "src/runtime", "src/kernels"],
    "src/spec": [PUBLIC, "src/base"],
    "src/engine": [PUBLIC, "src/base", "src/runtime", "src/kernels", "src/model", "src/spec",
                   POLICY_HEADER],
    "cli": [PUBLIC, "report"],
    "bench": [PUBLIC, "report", "src/base", "src/model", "src/spec", POLICY_HEADER],
    "examples": [PUBLIC, POLICY_HEADER],
    "tests/policy": [POLICY_HEADER, "policy/ledger_constants.h"],
    "tests": [PUBLIC, POLICY, "report", "src", "cli", "bench"],
}

# system header -> folders that may include it; headers that are not here are free
SYSTEM = {
    "pthread.h": ["src/runtime", "tests"],
    "sched.h": ["src/runtime"],
    "time.h": ["src/runtime", "cli", "bench", "tests"],
    "immintrin.h": ["src/runtime", "src/kernels"],
    "arm_neon.h": ["src/kernels"],
    "pcre2.h": ["src/model"],
    "histedit.h": ["cli"],
    "jansson.h": ["cli", "bench", "tests"],
    "cmocka.h": ["tests"],
    "threads.h": [],  # crashes under ThreadSanitizer with gcc 12 and clang 14
}
ONLY = {  # folders that may include nothing else of the system
    PUBLIC: ["stddef.h", "stdint.h"],
    POLICY: ["stddef.h", "stdint.h", "string.h", "stdio.h"],  # stdio.h for snprintf
}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"]', re.M)
POLICY_IO = re.compile(r"\b(fopen|printf|fprintf|puts|fputs|fwrite|fread|getenv|malloc|calloc)\s*\(")


def files_of(root):
    """Paths of the project's sources, relative, sorted; build folders are left out."""
    found = []
    for folder, names, files in os.walk(root):
        names[:] = [n for n in names if not n.startswith((".", "build", "__pycache__"))]
        for name in files:
            if name.endswith((".c", ".h", ".py", ".sh")):
                found.append(os.path.relpath(os.path.join(folder, name), root).replace(os.sep, "/"))
    return sorted(found)


def inside(path, place):
    return path == place or path.startswith(place + "/")


def layer_of(path):
    """The most special layer that holds the path, or None."""
    layers = [layer for layer in LAYERS if inside(path, layer)]
    return max(layers, key=len) if layers else None


def resolve(path, name, known):
    """The project file an include means, or None for one of the system."""
    places = [os.path.dirname(path), "include", "src", "policy", "report", "cli", "bench", "tests"]
    for place in places:
        full = os.path.normpath(os.path.join(place, name)).replace(os.sep, "/")
        if full in known:
            return full
    return None


def check_include(path, quote, name, known):
    layer = layer_of(path)
    target = resolve(path, name, known)
    if target:
        if layer_of(target) != layer and not any(inside(target, ok) for ok in LAYERS[layer]):
            return f"includes {target}; {layer} may include {', '.join(LAYERS[layer]) or 'itself'}"
        if ".." in name:
            return f'includes "{name}": name it from the root of its tree'
        return None
    if quote == '"':
        return f'includes "{name}", which is no file of the project'
    if name in SYSTEM and not any(inside(path, ok) for ok in SYSTEM[name]):
        return f"includes <{name}>, which belongs to {', '.join(SYSTEM[name]) or 'nobody'}"
    if layer in ONLY and name not in ONLY[layer]:
        return f"includes <{name}>; {layer} may include {', '.join(ONLY[layer])}"
    return None


def check_file(path, text, known, errors, warnings):
    def wrong(at, what):
        errors.append(f"{path}:{text.count(chr(10), 0, at) + 1}: {what}")

    lines = text.count("\n")
    if lines > LINES_MAX:
        wrong(0, f"{lines} lines, at most {LINES_MAX}")
    elif lines > LINES_WARN:
        warnings.append(f"{path}: {lines} lines; a file with one noun has fewer than {LINES_WARN}")
    if not path.endswith((".c", ".h")):
        return
    if not text.startswith("/* " + os.path.basename(path)):
        wrong(0, "does not open with a comment that begins with the file's name")
    if layer_of(path) is None:
        wrong(0, "is in no layer; see the list in tests/layers.py")
        return
    for match in INCLUDE.finditer(text):
        problem = check_include(path, match[1], match[2], known)
        if problem:
            wrong(match.start(), problem)
    if layer_of(path) == POLICY:
        code = re.sub(r"/\*.*?\*/", lambda m: re.sub(r"[^\n]", " ", m[0]), text, flags=re.S)
        for match in POLICY_IO.finditer(code):
            wrong(match.start(), f"{match[1]}(): policy does no I/O and allocates nothing")


def check_names(paths, errors):
    seen = {}
    for path in paths:
        layer = layer_of(path)
        tree = layer if layer in (PUBLIC, POLICY) else ""
        key = (tree, os.path.basename(path).lower())
        if key in seen:
            errors.append(f"{path}: there is a {seen[key]} already; file names are unique")
        seen.setdefault(key, path)


def check_tree(root):
    """(errors, warnings) of a tree, and how many files it has."""
    errors, warnings = [], []
    paths = files_of(root)
    for path in paths:
        with open(os.path.join(root, path), encoding="utf-8") as f:
            check_file(path, f.read(), set(paths), errors, warnings)
    check_names(paths, errors)
    return errors, warnings, len(paths)


# ---- the check, checked ---------------------------------------------------------------

SOUND = {
    "include/sluice/model.h": "#include <stdint.h>\n",
    "include/sluice/session.h": '#include "sluice/model.h"\n',
    "policy/sluice_policy.h": "#include <stddef.h>\n",
    "policy/cascade.h": "",
    "policy/cascade.c": '#include "sluice_policy.h"\n/* printf("is a word here"); */\n',
    "src/base/base.h": '#include "sluice/model.h"\n',
    "src/runtime/pool.c": '#include <pthread.h>\n#include "base/base.h"\n',
    "src/model/model.h": '#include "sluice/model.h"\n#include "base/base.h"\n',
    "src/model/bpe.c": '#include <pcre2.h>\n#include "model/model.h"\n',
    "src/spec/ngram.h": '#include "base/base.h"\n',
    "src/engine/session.h": '#include "sluice_policy.h"\n#include "spec/ngram.h"\n',
    "cli/main.c": '#include <jansson.h>\n#include "sluice/session.h"\n',
    "examples/embed.c": "#include <sluice_policy.h>\n",
    "tests/check.h": "#include <cmocka.h>\n",
    "tests/unit/test_bpe.c": '#include "check.h"\n#include "model/model.h"\n',
    "tests/policy/test_cascade.c": '#include "sluice_policy.h"\n',
    "tools/common.py": "",
}

# (what is broken, file, its text, words the complaint must have)
BROKEN = [
    ("upwards", "src/base/hash.c", '#include "model/model.h"\n', "src/model/model.h; src/base may"),
    ("sideways", "src/spec/tree.c", '#include "model/model.h"\n', "src/model/model.h; src/spec may"),
    ("in angle brackets", "src/base/hash.c", "#include <model/model.h>\n", "src/model/model.h"),
    ("cli into src", "cli/run.c", '#include "engine/session.h"\n', "cli may include include/sluice"),
    ("cli into policy", "cli/run.c", '#include "sluice_policy.h"\n', "policy/sluice_policy.h"),
    ("public into src", "include/sluice/x.h", '#include "base/base.h"\n', "src/base/base.h"),
    ("public into libc", "include/sluice/x.h", "#include <stdio.h>\n", "<stdio.h>"),
    ("policy into src", "policy/a.c", '#include "base/base.h"\n', "policy may include itself"),
    ("policy into public", "policy/a.c", '#include "sluice/model.h"\n', "include/sluice/model.h"),
    ("policy heap", "policy/a.c", "#include <stdlib.h>\n", "<stdlib.h>"),
    ("policy output", "policy/a.c", 'static void f(void) {\n    printf("x");\n}\n', "printf()"),
    ("engine into policy", "src/engine/a.c", '#include "cascade.h"\n', "policy/cascade.h"),
    ("policy tests", "tests/policy/test_a.c", '#include "base/base.h"\n', "src/base/base.h"),
    ("a library", "src/engine/a.c", "#include <pcre2.h>\n", "belongs to src/model"),
    ("threads.h", "src/runtime/a.c", "#include <threads.h>\n", "belongs to nobody"),
    ("dots", "src/engine/a.c", '#include "../model/model.h"\n', "from the root"),
    ("a typo", "src/model/a.c", '#include "model/modle.h"\n', "no file of the project"),
    ("a new folder", "src/extra/a.c", "", "is in no layer"),
    ("no comment", "src/base/a.c", None, "does not open with a comment"),
    ("length", "src/base/a.c", "\n" * LINES_MAX, "at most 1500"),
    ("a name twice", "src/spec/bpe.c", "", "there is a src/model/bpe.c already"),
]


def write_tree(root, files):
    for path, text in files.items():
        full = os.path.join(root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        head = "" if text is None else f"/* {os.path.basename(path)} - made up. */\n"
        with open(full, "w", encoding="utf-8") as f:
            f.write(head + (text or "int x;\n"))


def prove():
    """Exit unless the sound tree is clean and each broken one gives exactly its complaint."""
    with tempfile.TemporaryDirectory() as root:
        write_tree(root, SOUND)
        errors, _, _ = check_tree(root)
        if errors:
            sys.exit("layers.py: the sound tree has complaints:\n" + "\n".join(errors))
    for what, path, text, words in BROKEN:
        with tempfile.TemporaryDirectory() as root:
            write_tree(root, {**SOUND, path: text})
            errors, _, _ = check_tree(root)
            if len(errors) != 1 or words not in errors[0]:
                sys.exit(f"layers.py: '{what}' gave {errors or 'nothing'}, expected '{words}'")


def main():
    if len(sys.argv) > 2 or sys.argv[1:2] in (["-h"], ["--help"]):
        sys.exit(__doc__)
    root = sys.argv[1] if len(sys.argv) == 2 else os.path.join(os.path.dirname(__file__), "..")
    prove()
    errors, warnings, n = check_tree(root)
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    for error in errors:
        print(error, file=sys.stderr)
    if errors:
        sys.exit(f"layers: {len(errors)} violations in {n} files")
    print(f"layers: {n} files are where they belong; {len(BROKEN)} kinds of violation are noticed")


if __name__ == "__main__":
    main()
