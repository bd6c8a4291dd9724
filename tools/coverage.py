#!/usr/bin/env python3
"""Lines that the tests ran, by file: what `make coverage` prints.

Reads the counters that the programs of the preset `coverage` left in BUILD (gcov's), and sums
up each source file below the folders given. `lines` are those that have code, `missed` those of
them that never ran; --missed FILE lists them.
"""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import tempfile
from collections import defaultdict
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
FOLDERS = ("src", "policy", "report", "cli")


def read_counters(build: Path) -> dict[str, dict[int, int]]:
    """Runs of every line, by file (relative to the repository)."""
    lines: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    counters = [str(path.resolve()) for path in build.rglob("*.gcda")]
    with tempfile.TemporaryDirectory() as scratch:
        for counter in counters:
            subprocess.run(
                ["gcov", "--json-format", counter], cwd=scratch, capture_output=True, check=True
            )
            for report in Path(scratch).glob("*.gcov.json.gz"):
                for file in json.loads(gzip.open(report).read())["files"]:
                    path = (build / file["file"]).resolve()
                    if path.is_relative_to(REPO):
                        for line in file["lines"]:
                            name = str(path.relative_to(REPO))
                            lines[name][line["line_number"]] += line["count"]
                report.unlink()
    return lines


def row(name: str, lines: list[dict[int, int]]) -> str:
    """One line of the table."""
    total = sum(len(of_file) for of_file in lines)
    missed = sum(count == 0 for of_file in lines for count in of_file.values())
    return f"{name:40} {total:6} {missed:7} {100 * (total - missed) / max(total, 1):6.1f}%"


def main() -> None:
    """Print the table, or the lines missed of one file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("build", type=Path, nargs="?", default=REPO / "build" / "coverage")
    parser.add_argument("--missed", metavar="FILE", help="list this file's lines that never ran")
    args = parser.parse_args()
    lines = read_counters(args.build)
    if args.missed:
        text = (REPO / args.missed).read_text(encoding="utf-8").splitlines()
        for number, count in sorted(lines[args.missed].items()):
            if count == 0:
                print(f"{args.missed}:{number}: {text[number - 1]}")
        return
    print(f"{'':40} {'lines':>6} {'missed':>7} {'ran':>7}")
    for folder in FOLDERS:
        names = sorted(name for name in lines if name.startswith(folder + "/"))
        for name in names:
            print(row(name, [lines[name]]))
        if names:
            print(row(f"{folder}, all", [lines[name] for name in names]), end="\n\n")
    print(row("all", [of for name, of in lines.items() if name.split("/")[0] in FOLDERS]))


if __name__ == "__main__":
    main()
