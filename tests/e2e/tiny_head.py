"""A small EAGLE-3 head for tests of the command, written with struct and json alone."""
import json
import random
import struct

import tiny_model

DRAFT_VOCAB = 40


def config(**changes):
    d, heads = tiny_model.D_MODEL, tiny_model.HEADS
    return {"architectures": ["LlamaForCausalLMEagle3"], "model_type": "llama", "vocab_size": 320,
            "draft_vocab_size": DRAFT_VOCAB, "hidden_size": d, "intermediate_size": tiny_model.D_FF,
            "num_hidden_layers": 1, "num_attention_heads": heads, "num_key_value_heads": heads,
            "head_dim": d // heads, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
            "max_position_embeddings": 64, "tie_word_embeddings": False, **changes}


def safetensors(layer="midlayer"):
    d, ff = tiny_model.D_MODEL, tiny_model.D_FF
    norm, matrix = [1.0] * d, random.Random(1)
    tensors = {f"{layer}.{name}.weight": ((d,), norm) for name in
               ("input_layernorm", "hidden_norm", "post_attention_layernorm")}
    tensors["norm.weight"] = ((d,), norm)
    shapes = {"fc": (d, 3 * d), "lm_head": (DRAFT_VOCAB, d), f"{layer}.self_attn.o_proj": (d, d),
              f"{layer}.mlp.gate_proj": (ff, d), f"{layer}.mlp.up_proj": (ff, d),
              f"{layer}.mlp.down_proj": (d, ff),
              **{f"{layer}.self_attn.{name}_proj": (d, 2 * d) for name in "qkv"}}
    for name, shape in shapes.items():
        values = [matrix.uniform(-0.2, 0.2) for _ in range(shape[0] * shape[1])]
        tensors[f"{name}.weight"] = (shape, values)
    header, data = {}, b""
    for name, (shape, values) in tensors.items():
        encoded = struct.pack(f"<{len(values)}f", *values)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(encoded)]}
        data += encoded
    offsets = struct.pack(f"<{DRAFT_VOCAB}q", *(i * 3 + 40 for i in range(DRAFT_VOCAB)))
    header["d2t"] = {"dtype": "I64", "shape": [DRAFT_VOCAB], "data_offsets": [len(data), len(data) + len(offsets)]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data + offsets
