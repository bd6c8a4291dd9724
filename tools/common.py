"""What the golden and comparison scripts share: the keyed model file, prompts, ChatML, token bytes.

Only `gguf` and `numpy` are imported here, and only by the functions that need them.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any, Iterable, Iterator

# Every golden in tests/golden/ was made from this file and no other (models/sluice-tiny.gguf).
MODEL_SHA256 = "ceb8b39c33a91a3c6453a8410e644188c6b3b096d114e64ec36d608cb2ec0598"

REPO = Path(__file__).resolve().parent.parent
MODEL = REPO / "models" / "sluice-tiny.gguf"
PROMPTS = REPO / "tests" / "data" / "prompts.jsonl"
GOLDEN = REPO / "tests" / "golden"


def die(message: str) -> None:
    """Leave with one line on stderr and exit code 1."""
    print(f"{Path(sys.argv[0]).name}: {message}", file=sys.stderr)
    raise SystemExit(1)


def file_sha256(path: Path) -> str:
    """Hex SHA-256 of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as f:
        while block := f.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def require_model(path: Path) -> str:
    """Return the model's SHA-256; leave with an error if it is not the file the goldens key to."""
    if not path.is_file():
        die(f"{path}: no such file")
    found = file_sha256(path)
    if found != MODEL_SHA256:
        die(f"{path}: sha256 {found[:12]}..., the goldens are keyed to {MODEL_SHA256[:12]}...")
    return found


def chatml(text: str) -> str:
    """One user turn through the model's template, ready for the assistant's answer."""
    return f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n"


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """Objects of a JSON Lines file."""
    with open(path, encoding="utf-8") as f:
        for line in f:
            if line.strip():
                yield json.loads(line)


def write_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """One compact object per line, UTF-8, newline at the end."""
    with open(path, "w", encoding="utf-8", newline="\n") as f:
        for row in rows:
            f.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")
    print(f"{path}: {path.stat().st_size} bytes", file=sys.stderr)


def byte_decoder() -> dict[str, int]:
    """GPT-2's table: printable stand-in character -> byte."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table = {chr(b): b for b in printable}
    others = [b for b in range(256) if b not in printable]
    return table | {chr(256 + i): b for i, b in enumerate(others)}


def read_vocab(path: Path) -> list[bytes]:
    """The bytes each token of a byte-level BPE GGUF file stands for."""
    from gguf import GGUFReader

    table = byte_decoder()
    tokens = GGUFReader(path).fields["tokenizer.ggml.tokens"].contents()
    return [
        bytes(table[c] for c in t) if all(c in table for c in t) else t.encode() for t in tokens
    ]
