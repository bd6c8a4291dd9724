#!/usr/bin/env python3
"""test_install.py BUILD - install to a scratch prefix, and use what is there from outside.

The example program is built from the installed files alone, once with pkg-config and once with
find_package, and has to answer. Of shared libraries, every symbol that the headers declare is
exported, and none else.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
EXAMPLE = SOURCE / "examples" / "complete.c"
POLICY_EXAMPLE = SOURCE / "examples" / "embed_policy.c"
PROJECT = """
cmake_minimum_required(VERSION 3.25)
project(outside C)
find_package(sluice 0.1 REQUIRED)
add_executable(complete complete.c)
target_link_libraries(complete PRIVATE sluice::sluice)
add_executable(embed_policy embed_policy.c)
target_link_libraries(embed_policy PRIVATE sluice::policy)
"""


def run(*command, **more):
    """The standard output of a command that must succeed."""
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False, **more
    )
    assert done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
    return done.stdout


def answers(program, prefix):
    """The example answers a question with the installed model."""
    lib = next(prefix.glob("lib*/**/libsluice*")).parent
    out = run(
        program,
        prefix / "share/sluice/sluice-tiny.gguf",
        "What is the capital of France?",
        env={**os.environ, "LD_LIBRARY_PATH": str(lib)},
    )
    assert "Paris" in out, out


def built_with_pkg_config(prefix, folder):
    """cc alone, with the flags that pkg-config names; both examples."""
    folder.mkdir()
    pc = next(prefix.glob("lib*/**/sluice.pc")).parent
    found = f"{pc}:{os.environ.get('PKG_CONFIG_PATH', '')}"
    env = {**os.environ, "PKG_CONFIG_PATH": found}
    for source, package in ((EXAMPLE, "sluice"), (POLICY_EXAMPLE, "sluice-policy")):
        flags = run("pkg-config", "--cflags", "--libs", package, env=env).split()
        run("cc", "-std=c17", "-Wall", "-Werror", source, "-o", folder / source.stem, *flags)
    return folder / "complete"


def built_with_find_package(prefix, folder):
    """A project of its own that knows the prefix and nothing else."""
    folder.mkdir()
    for source in (EXAMPLE, POLICY_EXAMPLE):
        (folder / source.name).write_bytes(source.read_bytes())
    (folder / "CMakeLists.txt").write_text(PROJECT, encoding="utf-8")
    run("cmake", "-S", folder, "-B", folder / "build", f"-DCMAKE_PREFIX_PATH={prefix}")
    run("cmake", "--build", folder / "build")
    return folder / "build" / "complete"


def declared(prefix):
    """Functions that the installed headers declare, by library."""
    names = {"libsluice.so": set(), "libsluice_policy.so": set()}
    for header in (prefix / "include/sluice").glob("*.h"):
        for line in re.findall(r"^SL_API[^;{]*;", header.read_text(), flags=re.M):
            names["libsluice.so"].add(re.search(r"\b(sl_\w+)\(", line)[1])
    text = re.sub(r"/\*.*?\*/", "", (prefix / "include/sluice_policy.h").read_text(), flags=re.S)
    text = re.sub(r"^#.*(\\\n.*)*$", "", text, flags=re.M)
    names["libsluice_policy.so"] |= set(re.findall(r"\b(slp_\w+)\([^;{}]*\);", text))
    return names


def exported(library):
    """Symbols defined for others."""
    return {
        line.split()[-1].split("@")[0]
        for line in run("nm", "-D", "--defined-only", library).splitlines()
    }


def check_symbols(prefix):
    """Shared libraries: what is declared, and nothing else."""
    for name, functions in declared(prefix).items():
        assert len(functions) > 10, f"{name}: {functions}"
        for library in prefix.glob(f"lib*/**/{name}"):
            found = exported(library)
            assert found == functions, f"{name}: {sorted(found ^ functions)}"
            print(f"{name}: {len(found)} symbols, all of them declared")


def main():
    """Install, build twice, run, look at the symbols."""
    build = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory(prefix="sluice-install-") as scratch:
        prefix = Path(scratch) / "prefix"
        run("cmake", "--install", build, "--prefix", prefix)
        check_symbols(prefix)
        answers(built_with_pkg_config(prefix, Path(scratch) / "pc"), prefix)
        print("pkg-config: built and answered")
        answers(built_with_find_package(prefix, Path(scratch) / "cmake"), prefix)
        print("find_package: built and answered")
        out = run(
            prefix / "bin/sluice",
            "run",
            "-p",
            "What is the capital of France?",
            "--temp",
            "0",
            "-n",
            "40",
            "-q",
        )
        assert "Paris" in out, out
        print("the installed program answered")


if __name__ == "__main__":
    main()
