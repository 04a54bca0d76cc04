#!/usr/bin/env python3
"""Writes tests/golden/tiny_bert.json: sentence vectors of a tiny random BERT, by transformers.

    $(scripts/make_oracle_env) tests/golden/make_tiny_bert.py

Weights follow from the tensors' names in a checkpoint. With w what the rule of make_tiny_llama.py
gives a matrix of that name:

    value = 1 + w   for LayerNorm.weight
            8 w     for word_embeddings.weight
            4 w     for everything else

Texts are token ids (7 t + 11 i + i^2) mod vocab for text t, position i. `mean` is the mean of the
last hidden states over a text's tokens, made one long; `first` is the first token's state.
"""

import json
import pathlib

import numpy as np
import torch
from transformers import BertConfig, BertModel

CONFIG = {
    "model_type": "bert", "vocab_size": 96, "hidden_size": 64, "num_hidden_layers": 3,
    "num_attention_heads": 4, "intermediate_size": 128, "max_position_embeddings": 64,
    "type_vocab_size": 2, "hidden_act": "gelu", "layer_norm_eps": 1e-12,
}
LENGTHS = [1, 2, 5, 16, 17, 33, 64]


def fnv1a(name):
    value = 0xCBF29CE484222325
    for byte in name.encode():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def rule(name, count):
    """The rule's w for the elements of a tensor."""
    with np.errstate(over="ignore"):
        z = np.uint64(fnv1a(name)) + np.arange(count, dtype=np.uint64)
        z = z + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = z ^ (z >> np.uint64(31))
    u = (x >> np.uint64(40)).astype(np.float32) * np.float32(2**-24)
    return (2 * u - np.float32(1)) * np.float32(0.1)


def weight(name, shape):
    w = rule(name, int(np.prod(shape))).reshape(shape)
    if name.endswith("LayerNorm.weight"):
        return 1 + w
    return (8 if name.endswith("word_embeddings.weight") else 4) * w


def main():
    model = BertModel(BertConfig(**CONFIG), add_pooling_layer=False)
    state = {name: torch.from_numpy(weight(name, tuple(value.shape)))
             for name, value in model.state_dict().items() if value.dtype.is_floating_point}
    model.load_state_dict(state, strict=False)
    model.eval()
    cases = []
    for t, length in enumerate(LENGTHS):
        ids = [(7 * t + 11 * i + i * i) % CONFIG["vocab_size"] for i in range(length)]
        with torch.no_grad():
            states = model(input_ids=torch.tensor([ids])).last_hidden_state[0].double()
        mean = states.mean(0)
        rounded = [[round(float(value), 7) for value in vector]
                   for vector in (mean / mean.norm(), states[0])]
        cases.append({"ids": ids, "mean": rounded[0], "first": rounded[1]})
    rows = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    text = f'{{"config": {json.dumps(CONFIG)},\n "cases": [\n{rows}\n]}}\n'
    (pathlib.Path(__file__).parent / "tiny_bert.json").write_text(text)


if __name__ == "__main__":
    main()
