#!/usr/bin/env python3
"""Writes tests/golden/tiny_families.json: what `transformers` computes for tiny random models of the
families other than Llama, which make_tiny_llama.py covers.

    $(scripts/make_oracle_env) tests/golden/make_tiny_families.py

Weights follow from their GGUF names by the rule of make_tiny_llama.py. Per model the file holds

`config`       sizes, and the GGUF keys (behind "<architecture>.") that make the family
`tensors`      tensors whose values do not follow from their names
`config_json`  the config.json that transformers writes for it
`hugging_face` for each tensor of its state: the GGUF tensor it is made of, and how: "rows of N
               heads" where GGUF pairs neighbouring rows, "less one" for a norm that adds 1
`logits`       of a few positions
"""

import argparse
import json
import math
import pathlib

import numpy as np
import torch
import transformers

from make_tiny_llama import (
    BLOCK_TENSORS, TOKEN_IDS, digits, dump, hashed_tensor, rows_for_half_split_rope)

LOGITS_POSITIONS = [0, 23, 24, 79]

SIZES = dict(vocab_size=320, d_model=64, num_layers=3, num_heads=4, num_kv_heads=2, head_dim=32,
             d_ffn=160, rms_norm_eps=1e-5, rope_theta=10000.0, context_length=512,
             tied_embeddings=False)

ROTATED = 24  # of 32, in the Phi-3 with long context
SHORT_FACTORS = [1.0 + i / 16 for i in range(ROTATED // 2)]
LONG_FACTORS = [1.0 + i / 2 for i in range(ROTATED // 2)]


def longrope_attention(context, original):
    return math.sqrt(1 + math.log(context / original) / math.log(original))


# Windows are shorter than the prompt of 80 tokens, and so are the contexts that scalings start from.
MODELS = {
    "tiny_mistral": dict(
        architecture="llama", transformers="Mistral", keys={"attention.sliding_window": 24},
        config=dict(sliding_window=24)),
    "tiny_qwen2": dict(
        architecture="qwen2", transformers="Qwen2",
        keys={"rope.scaling.type": "yarn", "rope.scaling.factor": 4.0,
              "rope.scaling.original_context_length": 64},
        config=dict(rope=dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=64))),
    "tiny_qwen3": dict(architecture="qwen3", transformers="Qwen3", sizes=dict(tied_embeddings=True)),
    "tiny_gemma2": dict(
        architecture="gemma2", transformers="Gemma2",
        sizes=dict(tied_embeddings=True, num_layers=4),
        keys={"attention.sliding_window": 24, "attn_logit_softcapping": 0.5,
              "final_logit_softcapping": 8.0},
        config=dict(sliding_window=24, attn_logit_softcapping=0.5, final_logit_softcapping=8.0,
                    query_pre_attn_scalar=32)),
    # Seven layers, so that one of them sees everything and is not the last.
    "tiny_gemma3": dict(
        architecture="gemma3", transformers="Gemma3",
        sizes=dict(tied_embeddings=True, num_layers=7, num_kv_heads=1, rope_theta=1e6),
        keys={"attention.sliding_window": 24, "rope.scaling.type": "linear",
              "rope.scaling.factor": 8.0},
        config=dict(sliding_window=24, query_pre_attn_scalar=32,
                    rope=dict(rope_type="linear", factor=8.0))),
    "tiny_phi3": dict(
        architecture="phi3", transformers="Phi3", sizes=dict(d_model=128),
        keys={"attention.sliding_window": 40, "rope.scaling.original_context_length": 512},
        config=dict(sliding_window=40, original_max_position_embeddings=512)),
    "tiny_phi3_long": dict(
        architecture="phi3", transformers="Phi3", sizes=dict(d_model=128),
        keys={"attention.sliding_window": 0, "rope.scaling.type": "longrope",
              "rope.scaling.original_context_length": 64,
              "rope.scaling.attn_factor": longrope_attention(512, 64),
              "rope.dimension_count": ROTATED},
        tensors={"rope_factors_long.weight": LONG_FACTORS,
                 "rope_factors_short.weight": SHORT_FACTORS},
        config=dict(original_max_position_embeddings=64,
                    rope=dict(rope_type="longrope", long_factor=LONG_FACTORS,
                              short_factor=SHORT_FACTORS, partial_rotary_factor=ROTATED / 32,
                              original_max_position_embeddings=64))),
}


def tensors_of(architecture, sizes):
    """{GGUF name within a block: (shape, transformers name within a layer)}"""
    d, ffn, head = sizes["d_model"], sizes["d_ffn"], sizes["head_dim"]
    q, kv = sizes["num_heads"] * head, sizes["num_kv_heads"] * head
    shapes = {"attn_norm": (d,), "attn_q": (q, d), "attn_k": (kv, d), "attn_v": (kv, d),
              "attn_output": (d, q), "ffn_norm": (d,), "ffn_gate": (ffn, d), "ffn_up": (ffn, d),
              "ffn_down": (d, ffn)}
    tensors = {f"{name}.weight": (shapes[name], f"{BLOCK_TENSORS[name]}.weight") for name in shapes}
    if architecture == "qwen2":
        for name in ("attn_q", "attn_k", "attn_v"):
            tensors[f"{name}.bias"] = (shapes[name][:1], f"{BLOCK_TENSORS[name]}.bias")
    if architecture in ("qwen3", "gemma3"):
        tensors["attn_q_norm.weight"] = ((head,), "self_attn.q_norm.weight")
        tensors["attn_k_norm.weight"] = ((head,), "self_attn.k_norm.weight")
    if architecture in ("gemma2", "gemma3"):
        tensors["ffn_norm.weight"] = ((d,), "pre_feedforward_layernorm.weight")
        tensors["post_attention_norm.weight"] = ((d,), "post_attention_layernorm.weight")
        tensors["post_ffw_norm.weight"] = ((d,), "post_feedforward_layernorm.weight")
    if architecture == "phi3":
        for name in ("attn_q", "attn_k", "attn_v", "ffn_gate", "ffn_up"):
            del tensors[f"{name}.weight"]
        tensors["attn_qkv.weight"] = ((q + 2 * kv, d), "self_attn.qkv_proj.weight")
        tensors["ffn_up.weight"] = ((2 * ffn, d), "mlp.gate_up_proj.weight")
    return tensors


def all_tensors(architecture, sizes):
    """Yields (transformers name, GGUF name, shape)."""
    vocabulary = (sizes["vocab_size"], sizes["d_model"])
    yield "model.embed_tokens.weight", "token_embd.weight", vocabulary
    for layer in range(sizes["num_layers"]):
        for name, (shape, theirs) in tensors_of(architecture, sizes).items():
            yield f"model.layers.{layer}.{theirs}", f"blk.{layer}.{name}", shape
    yield "model.norm.weight", "output_norm.weight", (sizes["d_model"],)
    if not sizes["tied_embeddings"]:
        yield "lm_head.weight", "output.weight", vocabulary


def how_made(architecture, name, sizes):
    if architecture in ("gemma2", "gemma3") and "norm" in name:
        return "less one"
    if architecture == "llama" and name.endswith("attn_q.weight"):
        return f"rows of {sizes['num_heads']} heads"
    if architecture == "llama" and name.endswith("attn_k.weight"):
        return f"rows of {sizes['num_kv_heads']} heads"
    return ""


def made(values, how):
    if how == "less one":
        return values - np.float32(1)
    if how.startswith("rows"):
        return rows_for_half_split_rope(values, int(how.split()[2]))
    return values


def transformers_config(model, sizes):
    extra = dict(model.get("config", {}))
    rope = dict(rope_type="default", rope_theta=sizes["rope_theta"]) | extra.pop("rope", {})
    if model["transformers"] == "Gemma3":
        rope = dict(full_attention=rope,
                    sliding_attention=dict(rope_type="default", rope_theta=10000.0))
    name = model["transformers"] + ("TextConfig" if model["transformers"] == "Gemma3" else "Config")
    if model["transformers"] != "Phi3":  # its head is always d_model / num_heads
        extra["head_dim"] = sizes["head_dim"]
    return getattr(transformers, name)(
        vocab_size=sizes["vocab_size"], hidden_size=sizes["d_model"],
        intermediate_size=sizes["d_ffn"], num_hidden_layers=sizes["num_layers"],
        num_attention_heads=sizes["num_heads"], num_key_value_heads=sizes["num_kv_heads"],
        max_position_embeddings=sizes["context_length"], rms_norm_eps=sizes["rms_norm_eps"],
        rope_parameters=rope, tie_word_embeddings=sizes["tied_embeddings"],
        attn_implementation="eager", bos_token_id=None, eos_token_id=None, pad_token_id=None,
        **extra)


def golden(model):
    architecture = model["architecture"]
    sizes = SIZES | model.get("sizes", {})
    config = transformers_config(model, sizes)
    network = getattr(transformers, model["transformers"] + "ForCausalLM")(config)
    network = network.to(torch.float32).eval()
    weights, sources = {}, {}
    for theirs, name, shape in all_tensors(architecture, sizes):
        how = how_made(architecture, name, sizes)
        values = made(hashed_tensor(name, shape), how)
        weights[theirs] = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
        sources[theirs] = [name, how]
    if sizes["tied_embeddings"]:
        weights["lm_head.weight"] = weights["model.embed_tokens.weight"]
    network.load_state_dict(weights, strict=True)
    with torch.no_grad():
        logits = network(torch.tensor([TOKEN_IDS]), use_cache=False).logits[0]
    written = json.loads(config.to_json_string(use_diff=False))
    written["architectures"] = [model["transformers"] + "ForCausalLM"]
    kept = {"architectures", "model_type", "attention_bias", "query_pre_attn_scalar", "head_dim",
            "hidden_act", "hidden_activation", "hidden_size", "intermediate_size", "layer_types",
            "max_position_embeddings", "num_attention_heads", "num_hidden_layers",
            "num_key_value_heads", "original_max_position_embeddings", "rms_norm_eps",
            "rope_parameters", "sliding_window", "use_sliding_window", "tie_word_embeddings",
            "attn_logit_softcapping", "final_logit_softcapping", "vocab_size"}
    return {
        "config": {"architecture": architecture, **sizes, "keys": model.get("keys", {})},
        "tensors": model.get("tensors", {}),
        "config_json": {name: value for name, value in written.items() if name in kept},
        "hugging_face": sources,
        "logits": {str(p): digits(logits[p]) for p in LOGITS_POSITIONS},
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", default=pathlib.Path(__file__).parent / "tiny_families.json")
    arguments = parser.parse_args()
    torch.use_deterministic_algorithms(True)
    dump({
        "made_by": "tests/golden/make_tiny_families.py",
        "with": f"transformers {transformers.__version__}, "
                f"torch {torch.__version__.split('+')[0]}, float32",
        "token_ids": TOKEN_IDS,
        "models": {name: golden(model) for name, model in MODELS.items()},
    }, arguments.output)


if __name__ == "__main__":
    main()
