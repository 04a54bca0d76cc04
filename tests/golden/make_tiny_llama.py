#!/usr/bin/env python3
"""Writes tests/golden/tiny_llama.json: what `transformers` computes for tiny random Llamas.

    $(scripts/make_oracle_env) tests/golden/make_tiny_llama.py

No weight is stored: every tensor follows from its GGUF name, so the C++ tests make the same model
in code. For the tensor NAME, with s = FNV-1a-64(bytes of NAME), element i (row-major, from 0) is

    x     = splitmix64(s + i)        z = s + i + 0x9E3779B97F4A7C15
                                     z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9
                                     z = (z ^ (z >> 27)) * 0x94D049BB133111EB
                                     x = z ^ (z >> 31)                            (all mod 2^64)
    u     = (x >> 40) * 2^-24        in [0, 1), exact in float32
    r     = 2 u - 1                  in [-1, 1), exact in float32
    value = r * 0.1                  for a matrix
            r                        for token_embd.weight and a bias
            1 + r * 0.1              for a norm; rounded after the product and after the sum, so a
                                     compiler must not contract it to a fused multiply-add

with 0.1 the float32 nearest to it. Shapes are row-major [out, in].

The tensors are in GGUF's layout, in which the rows of attn_q and attn_k are permuted so that rope
turns the neighbouring pairs (2i, 2i+1) of a head. transformers turns (i, i + head_dim/2), so rows
are put back in that order before it loads them (see `rows_for_half_split_rope`).

Per config the file holds the logits of a few positions and, for the last position, the states a
speculator reads: the residual stream entering the layers of `tap_layers`, and the final normed
state. The tap layers of an n-layer model are 2, n/2 and n-3, each clamped to [0, n-1], sorted;
where these are not three different layers (n = 4, 5, 6) they are 1, n/2 and n-1 instead.
"""

import argparse
import json
import pathlib

import numpy as np
import torch
import transformers

TOKEN_IDS = [(37 * i + 11) % 320 for i in range(80)]
LOGITS_POSITIONS = [0, 1, 31, 32, 63, 64, 79]

CONFIGS = {
    "tiny_llama": dict(
        vocab_size=320, d_model=64, num_layers=5, num_heads=4, num_kv_heads=2, head_dim=16,
        d_ffn=160, rope_theta=10000.0, rms_norm_eps=1e-5, tied_embeddings=True, rope_scaling=None),
    # q's width (4 x 32) differs from d_model; the scaling's original context is shorter than the
    # prompt, so that scaled and unscaled frequencies both matter.
    "tiny_llama_rope3": dict(
        vocab_size=320, d_model=64, num_layers=5, num_heads=4, num_kv_heads=2, head_dim=32,
        d_ffn=160, rope_theta=500000.0, rms_norm_eps=1e-5, tied_embeddings=False,
        rope_scaling=dict(type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                          original_context=64)),
    "tiny_llama_gqa": dict(
        vocab_size=320, d_model=96, num_layers=3, num_heads=6, num_kv_heads=2, head_dim=64,
        d_ffn=256, rope_theta=10000.0, rms_norm_eps=1e-5, tied_embeddings=False,
        rope_scaling=None),
}

# GGUF name within a block -> transformers name within a layer.
BLOCK_TENSORS = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def tensor_names(num_layers, tied_embeddings):
    """Yields (GGUF name, transformers name) of every tensor of a Llama."""
    yield "token_embd.weight", "model.embed_tokens.weight"
    for layer in range(num_layers):
        for ours, theirs in BLOCK_TENSORS.items():
            yield f"blk.{layer}.{ours}.weight", f"model.layers.{layer}.{theirs}.weight"
    yield "output_norm.weight", "model.norm.weight"
    if not tied_embeddings:
        yield "output.weight", "lm_head.weight"


def rows_for_half_split_rope(rows, num_heads):
    """Rows of attn_q or attn_k [num_heads * head_dim, d_model], from GGUF's order to transformers'.

    Within a head, GGUF's row 2i + h is transformers' row i + h * head_dim/2, h in {0, 1}.
    """
    out, width = rows.shape
    pairs = rows.reshape(num_heads, out // num_heads // 2, 2, width)
    return pairs.swapaxes(1, 2).reshape(out, width)


def in_transformers_layout(name, tensor, num_heads, num_kv_heads):
    if name.endswith("attn_q.weight"):
        return rows_for_half_split_rope(tensor, num_heads)
    if name.endswith("attn_k.weight"):
        return rows_for_half_split_rope(tensor, num_kv_heads)
    return tensor


def tap_layers(num_layers):
    layers = {min(max(layer, 0), num_layers - 1)
              for layer in (2, num_layers // 2, num_layers - 3)}
    if len(layers) < 3:
        layers = {1, num_layers // 2, num_layers - 1}
    return sorted(layers)


def fnv1a_64(data):
    state = 0xCBF29CE484222325
    for byte in data:
        state = ((state ^ byte) * 0x100000001B3) % 2**64
    return state


def hashed_tensor(name, shape):
    count = int(np.prod(shape))
    z = np.arange(count, dtype=np.uint64) + np.uint64(fnv1a_64(name.encode()))  # wraps, as meant
    z += np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x = z ^ (z >> np.uint64(31))
    u = (x >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)
    r = np.float32(2) * u - np.float32(1)
    if "norm" in name:
        return np.float32(1) + r * np.float32(0.1)
    if name != "token_embd.weight" and not name.endswith(".bias"):
        r = r * np.float32(0.1)
    return r.reshape(shape)


def shape_of(name, config):
    d, ffn, head = config["d_model"], config["d_ffn"], config["head_dim"]
    shapes = {
        "token_embd": (config["vocab_size"], d), "output": (config["vocab_size"], d),
        "output_norm": (d,), "attn_norm": (d,), "ffn_norm": (d,),
        "attn_q": (config["num_heads"] * head, d), "attn_k": (config["num_kv_heads"] * head, d),
        "attn_v": (config["num_kv_heads"] * head, d),
        "attn_output": (d, config["num_heads"] * head),
        "ffn_gate": (ffn, d), "ffn_up": (ffn, d), "ffn_down": (d, ffn),
    }
    return shapes[name.split(".")[-2]]


def make_llama(config, tensor_of):
    """A transformers Llama in float32 whose weights are tensor_of(GGUF name) in GGUF's layout."""
    rope = dict(rope_type="default", rope_theta=config["rope_theta"])
    scaling = config["rope_scaling"]
    if scaling:
        rope.update(rope_type="llama3", factor=scaling["factor"],
                    low_freq_factor=scaling["low_freq_factor"],
                    high_freq_factor=scaling["high_freq_factor"],
                    original_max_position_embeddings=scaling["original_context"])
    llama_config = transformers.LlamaConfig(
        vocab_size=config["vocab_size"], hidden_size=config["d_model"],
        intermediate_size=config["d_ffn"], num_hidden_layers=config["num_layers"],
        num_attention_heads=config["num_heads"], num_key_value_heads=config["num_kv_heads"],
        head_dim=config["head_dim"], max_position_embeddings=config.get("context_length", 512),
        rms_norm_eps=config["rms_norm_eps"], rope_parameters=rope,
        tie_word_embeddings=config["tied_embeddings"], attn_implementation="eager",
        bos_token_id=None, eos_token_id=None)
    model = transformers.LlamaForCausalLM(llama_config).to(torch.float32).eval()
    weights = {}
    for name, theirs in tensor_names(config["num_layers"], config["tied_embeddings"]):
        tensor = in_transformers_layout(
            name, tensor_of(name), config["num_heads"], config["num_kv_heads"])
        weights[theirs] = torch.from_numpy(np.ascontiguousarray(tensor, dtype=np.float32))
    if config["tied_embeddings"]:
        weights["lm_head.weight"] = weights["model.embed_tokens.weight"]
    model.load_state_dict(weights, strict=True)
    return model


class Digits(float):
    """A float that json writes with a fixed number of significant digits."""

    significant = 7

    def __repr__(self):
        return f"{float(self):.{self.significant}g}"


def digits(array):
    return [Digits(value) for value in np.asarray(array, dtype=np.float64).ravel()]


def dump(document, path):
    """Writes one key a line down to the numbers, which stay on one line."""
    # json's C encoder ignores float.__repr__ of a subclass, and so would drop `Digits`.
    def text(value, indent):
        if isinstance(value, dict):
            inner = ",\n".join(f"{' ' * (indent + 1)}{json.dumps(key)}: {text(item, indent + 1)}"
                               for key, item in value.items())
            return "{\n" + inner + "\n" + " " * indent + "}"
        if isinstance(value, Digits):
            return repr(value)
        if isinstance(value, list) and value and isinstance(value[0], dict):
            inner = ",\n".join(" " * (indent + 1) + text(item, indent + 1) for item in value)
            return "[\n" + inner + "\n" + " " * indent + "]"
        if isinstance(value, list):
            return "[" + ",".join(text(item, indent) for item in value) + "]"
        return json.dumps(value, ensure_ascii=True)

    pathlib.Path(path).write_text(text(document, 0) + "\n")


def golden(config):
    model = make_llama(config, lambda name: hashed_tensor(name, shape_of(name, config)))
    with torch.no_grad():
        out = model(torch.tensor([TOKEN_IDS]), output_hidden_states=True, use_cache=False)
    last = len(TOKEN_IDS) - 1
    taps = tap_layers(config["num_layers"])
    result = {"config": config}
    if config["rope_scaling"]:
        # What a GGUF file holds as rope_freqs.weight: each frequency is divided by its factor.
        head = config["head_dim"]
        plain = 1.0 / config["rope_theta"] ** (torch.arange(0, head, 2).float() / head)
        result["rope_freqs.weight"] = digits(plain / model.model.rotary_emb.inv_freq)
    # To tell a wrong generator from a wrong model.
    result["first_values"] = {
        name: digits(hashed_tensor(name, shape_of(name, config)).ravel()[:4])
        for name in ("token_embd.weight", "blk.0.attn_norm.weight", "blk.0.attn_q.weight",
                     "blk.1.ffn_down.weight")}
    result["logits"] = {str(p): digits(out.logits[0, p]) for p in LOGITS_POSITIONS}
    result["tap_layers"] = taps
    # transformers' hidden_states[i] enters layer i; its last one is after the final norm.
    result["taps_at_last_position"] = {
        str(layer): digits(out.hidden_states[layer][0, last]) for layer in taps}
    result["final_normed_at_last_position"] = digits(out.hidden_states[-1][0, last])
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", default=pathlib.Path(__file__).parent / "tiny_llama.json")
    arguments = parser.parse_args()
    torch.use_deterministic_algorithms(True)
    dump({
        "made_by": "tests/golden/make_tiny_llama.py",
        "with": f"transformers {transformers.__version__}, "
                f"torch {torch.__version__.split('+')[0]}, float32",
        "token_ids": TOKEN_IDS,
        "configs": {name: golden(config) for name, config in CONFIGS.items()},
    }, arguments.output)


if __name__ == "__main__":
    main()
