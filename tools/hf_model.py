"""Hugging Face's Qwen3MoeForCausalLM in float32, built from a qwen3moe GGUF file.

The weights are the file's, dequantised. qwen3moe files keep Q and K in Hugging Face's own order
(NEOX rotation), so nothing is permuted. The model renormalises the top-k router weights, as
llama.cpp does for this architecture.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Sequence

import numpy as np
import torch
from gguf import GGUFReader
from gguf.quants import dequantize
from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM

OUTER = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
INNER = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_gate_inp": "mlp.gate",
}


@dataclass
class Forward:
    """What one sequence gave: logits [n][vocab], router logits [n][layer][expert]."""

    logits: np.ndarray
    router_logits: np.ndarray


class Reference:
    """The model, ready to run sequences."""

    def __init__(self, path: Path, *, threads: int = 2, double: bool = False) -> None:
        """`double` computes in float64 (norms stay float32), to judge float32's own error."""
        torch.set_num_threads(threads)
        reader = GGUFReader(path)
        weights = {
            t.name: torch.from_numpy(
                np.array(dequantize(t.data, t.tensor_type), dtype=np.float32).reshape(
                    [int(n) for n in reversed(t.shape)]
                )
            )
            for t in reader.tensors
        }
        self.config = self._config(reader, weights)
        self.top_k = self.config.num_experts_per_tok
        with torch.device("meta"):
            model = Qwen3MoeForCausalLM(self.config)
        model = model.to_empty(device="cpu").to(torch.float32)
        missing, unexpected = model.load_state_dict(self._state(weights), strict=False)
        if missing or unexpected:
            raise RuntimeError(f"{path}: missing {missing}, unexpected {unexpected}")
        self._reset_rope(model)
        self.model = (model.double() if double else model).eval()

    @staticmethod
    def _config(reader: GGUFReader, weights: dict[str, torch.Tensor]) -> Qwen3MoeConfig:
        """The GGUF keys' facts in Hugging Face's words."""

        def key(name: str) -> Any:
            return reader.fields[f"qwen3moe.{name}"].contents()

        return Qwen3MoeConfig(
            vocab_size=weights["token_embd.weight"].shape[0],
            hidden_size=key("embedding_length"),
            intermediate_size=key("feed_forward_length"),
            moe_intermediate_size=key("expert_feed_forward_length"),
            num_hidden_layers=key("block_count"),
            num_attention_heads=key("attention.head_count"),
            num_key_value_heads=key("attention.head_count_kv"),
            head_dim=key("attention.key_length"),
            num_experts=key("expert_count"),
            num_experts_per_tok=key("expert_used_count"),
            norm_topk_prob=True,
            rms_norm_eps=key("attention.layer_norm_rms_epsilon"),
            max_position_embeddings=key("context_length"),
            rope_parameters={"rope_type": "default", "rope_theta": key("rope.freq_base")},
            tie_word_embeddings="output.weight" not in weights,
            attn_implementation="eager",
            experts_implementation="eager",
        )

    @staticmethod
    def _state(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Hugging Face's state dict; the experts' gate and up are one tensor there."""
        state = {}
        for name, tensor in weights.items():
            if name in OUTER:
                state[OUTER[name]] = tensor
                continue
            _, layer, part, _ = name.split(".")
            base = f"model.layers.{layer}."
            if part in INNER:
                state[f"{base}{INNER[part]}.weight"] = tensor
            elif part == "ffn_down_exps":
                state[f"{base}mlp.experts.down_proj"] = tensor
            elif part == "ffn_gate_exps":
                up = weights[name.replace("gate", "up")]
                state[f"{base}mlp.experts.gate_up_proj"] = torch.cat([tensor, up], dim=1)
            elif part != "ffn_up_exps":
                raise RuntimeError(f"unknown tensor {name}")
        return state

    @staticmethod
    def _reset_rope(model: Qwen3MoeForCausalLM) -> None:
        """Fill the rotary frequencies, which no checkpoint holds and to_empty() left undefined."""
        rope = model.model.rotary_emb
        frequencies, _ = rope.compute_default_rope_parameters(model.config)
        rope.inv_freq.copy_(frequencies)
        rope.original_inv_freq.copy_(frequencies)

    @torch.no_grad()
    def run(self, tokens: Sequence[int]) -> Forward:
        """One sequence from position 0."""
        out = self.model(torch.tensor([list(tokens)]), use_cache=False, output_router_logits=True)
        router = torch.stack(out.router_logits, dim=1)  # [layer] of [n][expert]
        return Forward(out.logits[0].numpy(), router.numpy())


def softmax32(router_logits: np.ndarray) -> np.ndarray:
    """Softmax over the last axis in float32, by torch, as the model itself does."""
    return torch.softmax(torch.from_numpy(router_logits).float(), dim=-1).numpy()


def router_gaps(router_logits: np.ndarray, top_k: int) -> tuple[np.ndarray, np.ndarray]:
    """Per position, the smallest gap over layers between the k-th and the next router choice.

    router_logits [n][layer][expert]; returns the gap in probability and in logit, both [n].
    """
    ranked = -np.sort(-router_logits, axis=-1)
    probabilities = -np.sort(-softmax32(router_logits), axis=-1)
    by_logit = ranked[..., top_k - 1] - ranked[..., top_k]
    by_probability = probabilities[..., top_k - 1] - probabilities[..., top_k]
    return by_probability.min(axis=1), by_logit.min(axis=1)
