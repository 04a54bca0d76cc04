"""A tiny random sentence encoder, as a folder like those of published ones."""
import json
import math
import pathlib
import random
import struct

TOKENIZER = pathlib.Path(__file__).resolve().parents[1] / "golden/tokenizers/word_piece.json"
HIDDEN, INNER, POSITIONS = 32, 64, 24


def shapes(vocabulary):
    yield "embeddings.word_embeddings.weight", [vocabulary, HIDDEN]
    yield "embeddings.position_embeddings.weight", [POSITIONS, HIDDEN]
    yield "embeddings.token_type_embeddings.weight", [2, HIDDEN]
    layer = "encoder.layer.0."
    for name in ("embeddings.", layer + "attention.output.", layer + "output."):
        yield name + "LayerNorm.weight", [HIDDEN]
        yield name + "LayerNorm.bias", [HIDDEN]
    for name, rows, columns in (
        ("attention.self.query", HIDDEN, HIDDEN), ("attention.self.key", HIDDEN, HIDDEN),
        ("attention.self.value", HIDDEN, HIDDEN), ("attention.output.dense", HIDDEN, HIDDEN),
        ("intermediate.dense", INNER, HIDDEN), ("output.dense", HIDDEN, INNER),
    ):
        yield f"{layer}{name}.weight", [rows, columns]
        yield f"{layer}{name}.bias", [rows]


def safetensors(vocabulary):
    choose = random.Random(1)
    header, data = {}, b""
    for name, shape in shapes(vocabulary):
        count = math.prod(shape)
        values = struct.pack(f"<{count}f", *(choose.uniform(-1, 1) for _ in range(count)))
        header[name] = {"dtype": "F32", "shape": shape,
                        "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def write(folder):
    """Makes the folder where it is missing; the configuration as written."""
    folder.mkdir(exist_ok=True)
    tokenizer = json.loads(TOKENIZER.read_text())
    ids = [*tokenizer["model"]["vocab"].values(), *(t["id"] for t in tokenizer["added_tokens"])]
    config = {
        "model_type": "bert", "hidden_act": "gelu", "vocab_size": max(ids) + 1,
        "hidden_size": HIDDEN, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": INNER, "max_position_embeddings": POSITIONS, "type_vocab_size": 2,
    }
    (folder / "tokenizer.json").write_bytes(TOKENIZER.read_bytes())
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(safetensors(max(ids) + 1))
    (folder / "modules.json").write_text(json.dumps(
        [{"type": f"sentence_transformers.models.{kind}", "path": ""}
         for kind in ("Transformer", "Normalize")]))
    return config
