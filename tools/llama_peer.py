"""llama.cpp through llama-cpp-python's low-level API: the few calls the tools need.

The high-level class hides the options that matter here (cache types, flash attention, exact
positions), so this talks to the C API. One model and one context per `Llama`.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Sequence

import llama_cpp as c
import numpy as np

F32, F16 = 0, 1  # ggml types, for the KV cache


@c.llama_log_callback
def _silent(_level: int, _text: bytes, _data: ctypes.c_void_p) -> None:
    """Drop llama.cpp's log; failures come back as return values."""


def version() -> str:
    """Name and version for a golden's header."""
    return f"llama-cpp-python {c.__version__}"


class Llama:
    """A model with at most one context of one sequence."""

    def __init__(
        self,
        path: Path,
        *,
        vocab_only: bool = False,
        context: int = 1024,
        threads: int = 2,
        cache_type: int = F16,
        flash_attention: bool | None = None,
        batch: int = 512,
    ) -> None:
        """flash_attention None leaves the choice to llama.cpp (its default)."""
        c.llama_log_set(_silent, ctypes.c_void_p(0))
        c.llama_backend_init()
        model_params = c.llama_model_default_params()
        model_params.vocab_only = vocab_only
        self.model = c.llama_model_load_from_file(str(path).encode(), model_params)
        if not self.model:
            raise RuntimeError(f"{path}: llama.cpp cannot load it")
        self.vocab = c.llama_model_get_vocab(self.model)
        self.n_vocab = c.llama_vocab_n_tokens(self.vocab)
        self.context = None
        if vocab_only:
            return
        params = c.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch = context, batch, batch
        params.n_threads = params.n_threads_batch = threads
        params.type_k = params.type_v = cache_type
        if flash_attention is not None:
            params.flash_attn_type = int(flash_attention)
        self.context = c.llama_init_from_model(self.model, params)
        if not self.context:
            raise RuntimeError(f"{path}: llama.cpp cannot make a context")
        self.batch_size = batch
        self.batch = c.llama_batch_init(batch, 0, 1)

    def close(self) -> None:
        """Free everything; the object is of no use afterwards."""
        if self.context:
            c.llama_batch_free(self.batch)
            c.llama_free(self.context)
        c.llama_model_free(self.model)

    def tokenize(self, text: str, *, special: bool) -> list[int]:
        """Token ids without BOS; `special` parses <|...|> tokens in the text."""
        data = text.encode()
        room = len(data) + 16
        out = (c.llama_token * room)()
        n = c.llama_tokenize(self.vocab, data, len(data), out, room, False, special)
        if n < 0:
            raise RuntimeError("llama_tokenize wants more room than one token per byte")
        return list(out[:n])

    def ends_generation(self, token: int) -> bool:
        """Whether llama.cpp stops at this token."""
        return bool(c.llama_vocab_is_eog(self.vocab, token))

    def truncate(self, position: int) -> None:
        """Forget every position from `position` on."""
        if not c.llama_memory_seq_rm(c.llama_get_memory(self.context), 0, position, -1):
            raise RuntimeError(f"cannot drop the cache from position {position}")

    def decode(self, tokens: Sequence[int], at: int, *, all_rows: bool) -> int:
        """Run one pass of at most `batch` tokens; returns the rows that have logits."""
        b = self.batch
        b.n_tokens = len(tokens)
        for i, token in enumerate(tokens):
            b.token[i], b.pos[i], b.n_seq_id[i], b.seq_id[i][0] = token, at + i, 1, 0
            b.logits[i] = all_rows or i == len(tokens) - 1
        status = c.llama_decode(self.context, b)
        if status != 0:
            raise RuntimeError(f"llama_decode: {status}")
        return len(tokens) if all_rows else 1

    def wait(self) -> None:
        """Return when the last pass is really done, for timing."""
        c.llama_synchronize(self.context)

    def logits(self, rows: int) -> np.ndarray:
        """A copy of the last pass's logits, [rows][n_vocab]."""
        pointer = c.llama_get_logits(self.context)
        return np.ctypeslib.as_array(pointer, (rows, self.n_vocab)).copy()

    def sequence_logits(self, tokens: Sequence[int]) -> np.ndarray:
        """Logits after every token of a fresh sequence, [len(tokens)][n_vocab]."""
        self.truncate(0)
        parts = []
        for at in range(0, len(tokens), self.batch_size):
            chunk = tokens[at : at + self.batch_size]
            parts.append(self.logits(self.decode(chunk, at, all_rows=True)))
        return np.concatenate(parts)
