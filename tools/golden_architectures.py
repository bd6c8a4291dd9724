#!/usr/bin/env python3
"""Write tests/golden/arch/: tiny random models of every architecture, and their logits.

Each case is a Hugging Face model in float32 with odd settings, exported to an F32 GGUF file with
llama.cpp's names (and its permutation of Q and K where the architecture turns neighbours), and a
file of logits, little-endian:

    char magic[8] = "SLARCHL1";  u8 gguf_sha256[32];
    u32 n_vocab, n_tokens, n_sampled, experts_per_token;
    u32 tokens[n_tokens];                positions 0..n_tokens-1
    f32 gap[n_tokens];                   smallest distance of a router decision, over the layers,
                                         from falling otherwise, in probability; 1 without a router
    u32 sampled[n_sampled];              positions, ascending
    f32 logits[n_sampled][n_vocab];

transformers has no DeepSeekMoE (V1): its reference is LlamaForCausalLM, whose attention V1 has,
with the expert layers of DeepseekV2 (softmax, greedy top k, shared experts), which V1 has.
transformers' PhimoeForCausalLM never uses the long factors of longrope; the case that needs them
hands them to its rotary embedding.

DeepseekV2's layer has no renormalisation and OLMoE's norms have the width's size, so that these two
lack the odd settings norm_topk_prob and head_dim. Mixtral always renormalises.

Each file is also run by llama.cpp and compared. It is known to differ where `llama_cpp` says why.
"""

from __future__ import annotations

import argparse
import hashlib
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable

import numpy as np
import torch
import transformers as hf
from gguf import GGUFWriter
from torch import nn
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.models.deepseek_v2.modeling_deepseek_v2 import DeepseekV2Config, DeepseekV2Moe

from common import GOLDEN, byte_decoder
from llama_peer import F32, Llama

WORDS = ["ab", "cd", "ef", "gh", "ij"]
CONTROLS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
N_VOCAB = 256 + len(WORDS) + len(CONTROLS)
WIDTH, CONTEXT = 24, 256


@dataclass
class Case:
    """One model: how to build it, what the file says of it, and how long the text is."""

    name: str
    arch: str
    build: Callable[[], nn.Module]
    keys: dict[str, Any] = field(default_factory=dict)  # beyond those of every file
    n_tokens: int = 28
    step: int = 1
    permute: bool = False
    llama_cpp: str = ""  # why llama.cpp gives other logits


# ---- models ----

SMALL = {
    "vocab_size": N_VOCAB,
    "hidden_size": WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": CONTEXT,
    "tie_word_embeddings": False,
    "attn_implementation": "eager",
    "experts_implementation": "eager",
}


def rope(theta: float = 10000.0, kind: str = "default", **more: Any) -> dict[str, Any]:
    """transformers' rope_parameters."""
    return {"rope_type": kind, "rope_theta": theta, **more}


def olmoe(**more: Any) -> nn.Module:
    """Five experts of width 16, two per token."""
    config = hf.OlmoeConfig(
        **SMALL | {"intermediate_size": 16, "num_experts": 5, "num_experts_per_tok": 2} | more
    )
    return hf.OlmoeForCausalLM(config)


def qwen3(**more: Any) -> nn.Module:
    """Dense; heads of 12, so that all of them are wider than the model."""
    return hf.Qwen3ForCausalLM(
        hf.Qwen3Config(**SMALL | {"intermediate_size": 48, "head_dim": 12} | more)
    )


def qwen3moe(**more: Any) -> nn.Module:
    """Six experts of width 20, three per token; a width that no panel divides."""
    sizes = {"intermediate_size": 48, "moe_intermediate_size": 20, "head_dim": 12}
    counts = {"num_experts": 6, "num_experts_per_tok": 3, "hidden_size": 28}
    return hf.Qwen3MoeForCausalLM(hf.Qwen3MoeConfig(**SMALL | sizes | counts | more))


def llama(**more: Any) -> nn.Module:
    """Dense."""
    sizes = {"intermediate_size": 40}
    return hf.LlamaForCausalLM(hf.LlamaConfig(**SMALL | sizes | more))


def mixtral(**more: Any) -> nn.Module:
    """Four experts of width 24, two per token."""
    sizes = {"intermediate_size": 24, "num_local_experts": 4, "num_experts_per_tok": 2}
    return hf.MixtralForCausalLM(hf.MixtralConfig(**SMALL | sizes | more))


def qwen2moe(**more: Any) -> nn.Module:
    """Four experts of width 16, two per token, and a shared one of width 40."""
    sizes = {"intermediate_size": 64, "moe_intermediate_size": 16}
    shared = {"shared_expert_intermediate_size": 40, "num_experts": 4, "num_experts_per_tok": 2}
    return hf.Qwen2MoeForCausalLM(hf.Qwen2MoeConfig(**SMALL | sizes | shared | more))


class Nothing(nn.Module):
    """What no shared experts add."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Zeros."""
        return torch.zeros_like(x)


def deepseek(*, n_dense: int, scale: float, shared: int = 2, **more: Any) -> nn.Module:
    """Llama's attention, DeepseekV2's experts: four of width 16, two per token, some shared."""
    model = llama(intermediate_size=48, num_hidden_layers=3, **more)
    config = DeepseekV2Config(
        hidden_size=WIDTH,
        num_attention_heads=4,
        moe_intermediate_size=16,
        n_routed_experts=4,
        num_experts_per_tok=2,
        n_shared_experts=max(shared, 1),
        routed_scaling_factor=scale,
        topk_method="greedy",
    )
    config._experts_implementation = "eager"
    for layer in model.model.layers[n_dense:]:
        layer.mlp = DeepseekV2Moe(config)
        if shared == 0:
            layer.mlp.shared_experts = Nothing()
    return model


FACTORS_SHORT = [1.0, 1.1, 1.3]
FACTORS_LONG = [1.05, 2.5, 9.0]


def phimoe(*, original: int, **more: Any) -> nn.Module:
    """Four experts of width 20; biases everywhere; `original` decides which factors count."""
    scaling = rope(
        kind="longrope",
        short_factor=FACTORS_SHORT,
        long_factor=FACTORS_LONG,
        original_max_position_embeddings=original,
        short_mscale=1.19,
        long_mscale=1.19,
        factor=CONTEXT / original,
    )
    sizes = {"intermediate_size": 20, "num_local_experts": 4, "num_experts_per_tok": 2}
    biases = {"attention_bias": True, "lm_head_bias": True}
    config = hf.PhimoeConfig(**SMALL | sizes | biases | {"rope_parameters": scaling} | more)
    return hf.PhimoeForCausalLM(config)


EXPERTS_OLMOE = {"expert_count": 5, "expert_used_count": 2, "feed_forward_length": 16}
EXPERTS_PHI = {"expert_count": 4, "expert_used_count": 2, "feed_forward_length": 20}
EXPERTS_DEEPSEEK = {
    "expert_count": 4,
    "expert_used_count": 2,
    "feed_forward_length": 48,
    "expert_feed_forward_length": 16,
    "expert_shared_count": 2,
}


def phi_keys(original: int) -> dict[str, Any]:
    """For longrope; llama.cpp's converter leaves the type out, its factors say enough."""
    return EXPERTS_PHI | {
        "rope.dimension_count": 6,
        "rope.scaling.type": "longrope",
        "rope.scaling.attn_factor": 1.19,
        "rope.scaling.original_context_length": original,
    }


CASES = [
    Case(
        "olmoe",
        "olmoe",
        lambda: olmoe(num_key_value_heads=4),
        EXPERTS_OLMOE | {"attention.head_count_kv": 4},
    ),
    Case(
        "olmoe_renormalised_linear",
        "olmoe",
        lambda: olmoe(
            tie_word_embeddings=True,
            norm_topk_prob=True,
            rope_parameters=rope(kind="linear", factor=4.0),
        ),
        EXPERTS_OLMOE
        | {
            "expert_weights_norm": True,
            "rope.scaling.type": "linear",
            "rope.scaling.factor": 4.0,
        },
        llama_cpp="it wants as many heads of keys as of queries for olmoe",
    ),
    Case(
        "qwen3_yarn_tied",
        "qwen3",
        lambda: qwen3(
            tie_word_embeddings=True,
            rope_parameters=rope(1000.0, "yarn", factor=4.0, original_max_position_embeddings=64),
        ),
        {
            "feed_forward_length": 48,
            "attention.key_length": 12,
            "attention.value_length": 12,
            "rope.freq_base": 1000.0,
            "rope.scaling.type": "yarn",
            "rope.scaling.factor": 4.0,
            "rope.scaling.original_context_length": 64,
        },
    ),
    Case(
        "qwen3moe_one_kv_head_tied",
        "qwen3moe",
        lambda: qwen3moe(
            num_key_value_heads=1,
            norm_topk_prob=True,
            tie_word_embeddings=True,
            rope_parameters=rope(1000000.0),
        ),
        {
            "embedding_length": 28,
            "feed_forward_length": 48,
            "attention.head_count_kv": 1,
            "attention.key_length": 12,
            "attention.value_length": 12,
            "expert_count": 6,
            "expert_used_count": 3,
            "expert_feed_forward_length": 20,
            "rope.freq_base": 1000000.0,
        },
    ),
    Case(
        "qwen3moe_not_renormalised",
        "qwen3moe",
        lambda: qwen3moe(norm_topk_prob=False, tie_word_embeddings=True),
        {
            "embedding_length": 28,
            "feed_forward_length": 48,
            "attention.key_length": 12,
            "attention.value_length": 12,
            "expert_count": 6,
            "expert_used_count": 3,
            "expert_feed_forward_length": 20,
            "expert_weights_norm": False,
        },
        llama_cpp="expert_weights_norm is not read for qwen3moe",
    ),
    Case(
        "llama_llama3_tied",
        "llama",
        lambda: llama(
            tie_word_embeddings=True,
            head_dim=12,
            rope_parameters=rope(
                500000.0,
                "llama3",
                factor=8.0,
                low_freq_factor=1.0,
                high_freq_factor=4.0,
                original_max_position_embeddings=64,
            ),
        ),
        {
            "feed_forward_length": 40,
            "attention.key_length": 12,
            "attention.value_length": 12,
            "rope.dimension_count": 12,
            "rope.freq_base": 500000.0,
        },
        permute=True,
    ),
    Case(
        "llama_biases",
        "llama",
        lambda: llama(attention_bias=True, num_key_value_heads=4),
        {"feed_forward_length": 40, "attention.head_count_kv": 4, "rope.dimension_count": 6},
        permute=True,
    ),
    Case(
        "mixtral",
        "llama",
        lambda: mixtral(rope_parameters=rope(1000000.0)),
        {
            "feed_forward_length": 24,
            "expert_count": 4,
            "expert_used_count": 2,
            "rope.dimension_count": 6,
            "rope.freq_base": 1000000.0,
        },
        permute=True,
    ),
    Case(
        "mixtral_window",
        "llama",
        lambda: mixtral(sliding_window=50, tie_word_embeddings=True, rope_parameters=rope()),
        {
            "feed_forward_length": 24,
            "expert_count": 4,
            "expert_used_count": 2,
            "rope.dimension_count": 6,
            "attention.sliding_window": 50,
        },
        n_tokens=200,
        step=7,
        permute=True,
        llama_cpp="attention.sliding_window is not read for llama",
    ),
    Case(
        "qwen2moe",
        "qwen2moe",
        lambda: qwen2moe(rope_parameters=rope(1000000.0)),
        {
            "feed_forward_length": 64,
            "expert_feed_forward_length": 16,
            "expert_shared_feed_forward_length": 40,
            "expert_count": 4,
            "expert_used_count": 2,
            "rope.freq_base": 1000000.0,
        },
    ),
    Case(
        "deepseek",
        "deepseek",
        lambda: deepseek(n_dense=1, scale=1.0, num_key_value_heads=4),
        EXPERTS_DEEPSEEK
        | {
            "attention.head_count_kv": 4,
            "leading_dense_block_count": 1,
            "expert_weights_scale": 1.0,
            "rope.dimension_count": 6,
        },
        permute=True,
    ),
    Case(
        "deepseek_scaled",
        "deepseek",
        lambda: deepseek(n_dense=2, scale=2.5, tie_word_embeddings=True),
        EXPERTS_DEEPSEEK
        | {
            "leading_dense_block_count": 2,
            "expert_weights_scale": 2.5,
            "rope.dimension_count": 6,
        },
        permute=True,
    ),
    Case(
        "phimoe_short",
        "phimoe",
        lambda: phimoe(original=64, tie_word_embeddings=True),
        {k: v for k, v in phi_keys(64).items() if k != "rope.scaling.type"},
        llama_cpp="it wants output.weight for phimoe",
    ),
    Case(
        "phimoe_long",
        "phimoe",
        lambda: phimoe(original=16),
        phi_keys(16),
        llama_cpp="its norms are RMS norms, its router a softmax renormalised",
    ),
    Case(
        "olmoe_yarn",
        "olmoe",
        lambda: olmoe(
            num_key_value_heads=4,
            rope_parameters=rope(500000.0, "yarn", factor=8.0, original_max_position_embeddings=32),
        ),
        EXPERTS_OLMOE
        | {
            "attention.head_count_kv": 4,
            "rope.freq_base": 500000.0,
            "rope.scaling.type": "yarn",
            "rope.scaling.factor": 8.0,
            "rope.scaling.original_context_length": 32,
        },
    ),
    Case(
        "qwen3moe_yarn",
        "qwen3moe",
        lambda: qwen3moe(
            norm_topk_prob=True,
            rope_parameters=rope(5000.0, "yarn", factor=4.0, original_max_position_embeddings=64),
        ),
        {
            "embedding_length": 28,
            "feed_forward_length": 48,
            "attention.key_length": 12,
            "attention.value_length": 12,
            "expert_count": 6,
            "expert_used_count": 3,
            "expert_feed_forward_length": 20,
            "rope.freq_base": 5000.0,
            "rope.scaling.type": "yarn",
            "rope.scaling.factor": 4.0,
            "rope.scaling.original_context_length": 64,
        },
    ),
    Case(
        "mixtral_wide_heads_linear",
        "llama",
        lambda: mixtral(
            head_dim=10,
            num_key_value_heads=1,
            rope_parameters=rope(500000.0, "linear", factor=2.0),
        ),
        {
            "feed_forward_length": 24,
            "attention.head_count_kv": 1,
            "attention.key_length": 10,
            "attention.value_length": 10,
            "expert_count": 4,
            "expert_used_count": 2,
            "rope.dimension_count": 10,
            "rope.freq_base": 500000.0,
            "rope.scaling.type": "linear",
            "rope.scaling.factor": 2.0,
        },
        permute=True,
    ),
    Case(
        "qwen2moe_renormalised_tied_yarn",
        "qwen2moe",
        lambda: qwen2moe(
            head_dim=8,
            num_key_value_heads=1,
            norm_topk_prob=True,
            tie_word_embeddings=True,
            rope_parameters=rope(1000.0, "yarn", factor=4.0, original_max_position_embeddings=64),
        ),
        {
            "feed_forward_length": 64,
            "attention.head_count_kv": 1,
            "attention.key_length": 8,
            "attention.value_length": 8,
            "expert_feed_forward_length": 16,
            "expert_shared_feed_forward_length": 40,
            "expert_count": 4,
            "expert_used_count": 2,
            "expert_weights_norm": True,
            "rope.freq_base": 1000.0,
            "rope.scaling.type": "yarn",
            "rope.scaling.factor": 4.0,
            "rope.scaling.original_context_length": 64,
        },
        llama_cpp="it wants output.weight for qwen2moe",
    ),
    Case(
        "deepseek_wide_heads_linear",
        "deepseek",
        lambda: deepseek(
            n_dense=0,
            scale=1.0,
            head_dim=8,
            num_key_value_heads=1,
            rope_parameters=rope(100000.0, "linear", factor=4.0),
        ),
        EXPERTS_DEEPSEEK
        | {
            "attention.head_count_kv": 1,
            "attention.key_length": 8,
            "attention.value_length": 8,
            "leading_dense_block_count": 0,
            "expert_weights_scale": 1.0,
            "rope.dimension_count": 8,
            "rope.freq_base": 100000.0,
            "rope.scaling.type": "linear",
            "rope.scaling.factor": 4.0,
        },
        permute=True,
        llama_cpp="it wants heads of width / heads for deepseek",
    ),
    Case(
        "phimoe_wide_heads",
        "phimoe",
        lambda: phimoe(
            original=64,
            head_dim=10,
            num_key_value_heads=1,
            attention_bias=False,
            lm_head_bias=False,
            rope_parameters=rope(100000.0),
        ),
        EXPERTS_PHI
        | {
            "attention.head_count_kv": 1,
            "attention.key_length": 10,
            "attention.value_length": 10,
            "rope.dimension_count": 10,
            "rope.freq_base": 100000.0,
        },
        llama_cpp="it wants output.bias for phimoe",
    ),
    Case(
        "qwen3moe_biases_longrope",
        "qwen3moe",
        lambda: qwen3moe(
            num_attention_heads=6,
            head_dim=6,
            norm_topk_prob=True,
            attention_bias=True,
            rope_parameters=rope(
                kind="longrope",
                short_factor=FACTORS_SHORT,
                long_factor=FACTORS_LONG,
                original_max_position_embeddings=16,
                attention_factor=1.1,
                factor=16.0,
            ),
        ),
        {
            "embedding_length": 28,
            "feed_forward_length": 48,
            "attention.head_count": 6,
            "attention.key_length": 6,
            "attention.value_length": 6,
            "expert_count": 6,
            "expert_used_count": 3,
            "expert_feed_forward_length": 20,
            "rope.scaling.type": "longrope",
            "rope.scaling.attn_factor": 1.1,
            "rope.scaling.original_context_length": 16,
        },
        llama_cpp="no such biases for qwen3moe",
    ),
    Case(
        "olmoe_biases",
        "olmoe",
        lambda: olmoe(num_key_value_heads=4, attention_bias=True),
        EXPERTS_OLMOE | {"attention.head_count_kv": 4},
        llama_cpp="no such biases for olmoe",
    ),
    Case(
        "deepseek_none_shared",
        "deepseek",
        lambda: deepseek(n_dense=1, scale=1.0, shared=0, num_key_value_heads=4),
        EXPERTS_DEEPSEEK
        | {
            "attention.head_count_kv": 4,
            "leading_dense_block_count": 1,
            "expert_shared_count": 0,
            "expert_weights_scale": 1.0,
            "rope.dimension_count": 6,
        },
        permute=True,
        llama_cpp="it wants shared experts for deepseek",
    ),
]


@torch.no_grad()
def randomise(model: nn.Module, seed: int) -> None:
    """Weights that keep activations near 1, give routers preferences and norms a shape."""
    generator = torch.Generator().manual_seed(seed)
    for name, p in model.named_parameters():
        noise = torch.randn(p.shape, generator=generator)
        if name.endswith("bias"):
            p.copy_(0.3 * noise)
        elif "norm" in name:
            p.copy_(1 + 0.2 * noise)
        elif "embed_tokens" in name:
            p.copy_(noise)
        else:
            router = name.endswith(("gate.weight", "router.weight")) and p.shape[0] < 8
            gain = 2.0 if router else 4.0 if "lm_head" in name else 1.0
            p.copy_(gain * noise / p.shape[-1] ** 0.5)
            if name.endswith("router.weight"):  # SparseMixer: two experts that nearly tie
                p[1] = 1.008 * p[0]


def use_long_factors(model: nn.Module) -> None:
    """Make longrope's rotary embedding choose as for a text beyond the original context."""
    rotary = model.model.rotary_emb
    rotary.rope_init_fn = lambda config: ROPE_INIT_FUNCTIONS["longrope"](config, seq_len=CONTEXT)


def router_gap(logits: torch.Tensor, k: int, sparse: bool) -> torch.Tensor:
    """Per position: how near the choice of k, or what SparseMixer leaves out, is to another."""
    ranked = torch.softmax(logits, dim=-1).sort(dim=-1, descending=True).values
    gap = ranked[:, k - 1] - ranked[:, k]
    if not sparse:
        return gap
    left = logits.clone()
    for _ in range(k):
        best, at = left.max(dim=-1, keepdim=True)
        near = (best - left) / logits.abs().clamp(min=best)
        near = near.masked_fill(torch.isinf(near), 1.0)
        gap = torch.minimum(gap, (near - 0.02).abs().min(dim=-1).values)
        left = left.scatter(-1, at, float("-inf"))
    return gap


@torch.no_grad()
def run(model: nn.Module, tokens: list[int], k: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits [n][vocab] and gaps [n]."""
    gaps: list[torch.Tensor] = []

    def watch(module: nn.Module, _args: Any, out: Any) -> None:
        sparse = "Phimoe" in type(module).__name__
        gaps.append(router_gap(out[0].reshape(len(tokens), -1).float(), k, sparse))

    for module in model.modules():
        if type(module).__name__.lower().endswith("topkrouter"):
            module.register_forward_hook(watch)
    logits = model(torch.tensor([tokens]), use_cache=False).logits[0]
    gap = torch.stack(gaps).min(dim=0).values if gaps else torch.ones(len(tokens))
    return logits.numpy(), gap.numpy()


# ---- export ----

OUTER = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "model.norm.bias": "output_norm.bias",
    "lm_head.weight": "output.weight",
    "lm_head.bias": "output.bias",
}
INNER = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate": "ffn_gate_inp",
    "mlp.router": "ffn_gate_inp",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "mlp.shared_expert_gate": "ffn_gate_inp_shexp",
}
for shared in ("mlp.shared_expert", "mlp.shared_experts"):
    for part in ("gate", "up", "down"):
        INNER[f"{shared}.{part}_proj"] = f"ffn_{part}_shexp"


def permuted(tensor: torch.Tensor, heads: int) -> torch.Tensor:
    """Rows of each head from halves to neighbours, as llama.cpp's converter does."""
    n = tensor.shape[0] // heads
    return tensor.reshape(heads, 2, n // 2, *tensor.shape[1:]).swapaxes(1, 2).reshape(tensor.shape)


def tensors(case: Case, model: nn.Module) -> dict[str, torch.Tensor]:
    """The model's weights under GGUF's names."""
    out: dict[str, torch.Tensor] = {}
    tied = model.config.tie_word_embeddings
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and tied:
            continue
        if name in OUTER:
            out[OUTER[name]] = tensor
            continue
        _, _, layer, rest = name.split(".", 3)
        if rest == "mlp.experts.gate_up_proj":
            gate, up = tensor.chunk(2, dim=1)
            out[f"blk.{layer}.ffn_gate_exps.weight"] = gate
            out[f"blk.{layer}.ffn_up_exps.weight"] = up
            continue
        if rest == "mlp.experts.down_proj":
            out[f"blk.{layer}.ffn_down_exps.weight"] = tensor
            continue
        part, kind = rest.rsplit(".", 1)
        if case.permute and part in ("self_attn.q_proj", "self_attn.k_proj"):
            c = model.config
            heads = c.num_attention_heads if "q_proj" in part else c.num_key_value_heads
            tensor = permuted(tensor, heads)
        if INNER[part] == "ffn_gate_inp_shexp":
            tensor = tensor.reshape(-1)
        out[f"blk.{layer}.{INNER[part]}.{kind}"] = tensor
    kind = model.config.rope_parameters["rope_type"]
    if kind == "llama3":
        c = model.config
        plain = c.rope_parameters["rope_theta"] ** (
            -torch.arange(0, c.head_dim, 2, dtype=torch.float64) / c.head_dim
        )
        scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](c)
        out["rope_freqs.weight"] = plain / scaled.double()
    if kind == "longrope":
        out["rope_factors_long.weight"] = torch.tensor(FACTORS_LONG)
        out["rope_factors_short.weight"] = torch.tensor(FACTORS_SHORT)
    return out


def add_vocabulary(writer: GGUFWriter) -> None:
    """Bytes, a few merged words, three control tokens."""
    letters = sorted(byte_decoder().items(), key=lambda item: item[1])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list([c for c, _ in letters] + WORDS + CONTROLS)
    writer.add_token_types([1] * (256 + len(WORDS)) + [3] * len(CONTROLS))
    writer.add_token_merges([f"{w[0]} {w[1]}" for w in WORDS])
    writer.add_eos_token_id(N_VOCAB - 1)


def export(case: Case, model: nn.Module, path: Path) -> None:
    """Write the F32 GGUF file."""
    writer = GGUFWriter(str(path), case.arch)
    keys = {
        "block_count": model.config.num_hidden_layers,
        "context_length": CONTEXT,
        "embedding_length": WIDTH,
        "attention.head_count": 4,
        "attention.head_count_kv": 2,
        "attention.layer_norm_rms_epsilon": float(model.config.rms_norm_eps),
        "rope.freq_base": 10000.0,
    } | case.keys
    writer.add_name(case.name)
    writer.add_file_type(0)
    for key, value in keys.items():
        name = f"{case.arch}.{key}"
        if isinstance(value, bool):
            writer.add_bool(name, value)
        elif isinstance(value, int):
            writer.add_uint32(name, value)
        elif isinstance(value, float):
            writer.add_float32(name, value)
        else:
            writer.add_string(name, value)
    add_vocabulary(writer)
    for name, tensor in tensors(case, model).items():
        writer.add_tensor(name, np.ascontiguousarray(tensor.float().numpy()))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


# ---- all of it ----


def difference(logits: np.ndarray, other: np.ndarray) -> float:
    """Largest over positions of max |difference| / max |logit|."""
    return float((np.abs(logits - other).max(axis=1) / np.abs(logits).max(axis=1)).max())


def write_case(case: Case, out: Path, seed: int) -> None:
    """One model and its logits; prints how llama.cpp compares."""
    model = case.build().to(torch.float32).eval()
    randomise(model, seed)
    if case.name == "phimoe_long":
        use_long_factors(model)
    path = out / f"{case.name}.gguf"
    export(case, model, path)
    k = int(case.keys.get("expert_used_count", 0))
    random = np.random.default_rng(seed)
    tokens = [int(t) for t in random.integers(0, N_VOCAB - len(CONTROLS), case.n_tokens)]
    logits, gap = run(model, tokens, k)
    sampled = list(range(case.step - 1, case.n_tokens, case.step))
    (out / f"{case.name}.bin").write_bytes(
        b"SLARCHL1"
        + hashlib.sha256(path.read_bytes()).digest()
        + struct.pack("<4I", N_VOCAB, len(tokens), len(sampled), k)
        + struct.pack(f"<{len(tokens)}I", *tokens)
        + np.ascontiguousarray(gap, dtype="<f4").tobytes()
        + struct.pack(f"<{len(sampled)}I", *sampled)
        + np.ascontiguousarray(logits[sampled], dtype="<f4").tobytes()
    )
    line = f"{case.name}: {path.stat().st_size} bytes, smallest gap {gap.min():.1e}"
    try:
        peer = Llama(path, cache_type=F32, flash_attention=False, context=CONTEXT)
        line += f", llama.cpp {difference(logits, peer.sequence_logits(tokens)):.1e}"
        peer.close()
    except RuntimeError:
        line += ", llama.cpp does not load it"
    print(line + (f" ({case.llama_cpp})" if case.llama_cpp else ""), flush=True)


def main() -> None:
    """Write every case, or those named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="cases to write; all of them by default")
    parser.add_argument("--out", type=Path, default=GOLDEN / "arch")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    for case in CASES:
        if not args.names or case.name in args.names:
            write_case(case, args.out, args.seed)


if __name__ == "__main__":
    main()
