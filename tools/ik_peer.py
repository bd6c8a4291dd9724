"""ik_llama.cpp through ik-llama-cpp-python: just enough to time passes.

Its package binds fewer calls than llama.cpp's and its structures differ, so this is a class of its
own with the methods of `llama_peer.Llama` that timing uses.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Sequence

from ik_llama_cpp import _ctypes_api as c


class IkLlama:
    """A model and one context of one sequence."""

    def __init__(self, path: Path, *, context: int, threads: int, batch: int, repack: bool) -> None:
        """`repack` lets it rewrite the weights at load for its fastest kernels (no mmap then)."""
        c.llama_backend_init()
        model_params = c.llama_model_default_params()
        model_params.repack_tensors, model_params.use_mmap = repack, not repack
        self.model = c.llama_model_load_from_file(str(path).encode(), model_params)
        if not self.model:
            raise RuntimeError(f"{path}: ik_llama.cpp cannot load it")
        params = c.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch = context, batch, batch
        params.n_threads = params.n_threads_batch = threads
        self.context = c.llama_init_from_model(self.model, params)
        if not self.context:
            raise RuntimeError(f"{path}: ik_llama.cpp cannot make a context")
        self._lib = c.load_shared_library()
        self._lib.llama_kv_cache_seq_rm.restype = ctypes.c_bool
        self._lib.llama_kv_cache_seq_rm.argtypes = [ctypes.c_void_p, *[ctypes.c_int32] * 3]
        self._lib.llama_n_vocab.argtypes = [ctypes.c_void_p]
        self.n_vocab = int(self._lib.llama_n_vocab(self.model))
        self.batch = c.llama_batch_init(batch, 0, 1)
        self._last = 0

    def truncate(self, position: int) -> None:
        """Forget every position from `position` on."""
        self._lib.llama_kv_cache_seq_rm(self.context, 0, position, -1)

    def decode(self, tokens: Sequence[int], at: int, *, all_rows: bool) -> int:
        """Run one pass; returns the rows that have logits."""
        b = self.batch
        b.n_tokens = len(tokens)
        for i, token in enumerate(tokens):
            b.token[i], b.pos[i], b.n_seq_id[i], b.seq_id[i][0] = token, at + i, 1, 0
            b.logits[i] = all_rows or i == len(tokens) - 1
        status = c.llama_decode(self.context, b)
        if status != 0:
            raise RuntimeError(f"llama_decode: {status}")
        self._last = len(tokens) - 1
        return len(tokens) if all_rows else 1

    def wait(self) -> None:
        """Return when the last pass is really done: asking for logits synchronises."""
        c.llama_get_logits_ith(self.context, self._last)
