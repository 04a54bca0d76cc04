"""`forerun embed` from outside, on a tiny random BERT in a folder of its own."""
import json
import math
import pathlib
import random
import struct
import sys
import unittest

sys.dont_write_bytecode = True
import forerun  # noqa: E402
from forerun import run  # noqa: E402

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


class Embed(forerun.TestCase):
    def setUp(self):
        super().setUp()
        tokenizer = json.loads(TOKENIZER.read_text())
        ids = [*tokenizer["model"]["vocab"].values(), *(t["id"] for t in tokenizer["added_tokens"])]
        self.config = {
            "model_type": "bert", "hidden_act": "gelu", "vocab_size": max(ids) + 1,
            "hidden_size": HIDDEN, "num_hidden_layers": 1, "num_attention_heads": 2,
            "intermediate_size": INNER, "max_position_embeddings": POSITIONS, "type_vocab_size": 2,
        }
        self.write("tokenizer.json", TOKENIZER.read_bytes())
        self.write("config.json", json.dumps(self.config))
        self.write("model.safetensors", safetensors(max(ids) + 1))
        self.write("modules.json", json.dumps(
            [{"type": f"sentence_transformers.models.{kind}", "path": ""}
             for kind in ("Transformer", "Normalize")]))

    def vectors(self, *arguments, **options):
        result = run("embed", self.folder, *arguments, **options)
        self.assertEqual(result.returncode, 0, result.stderr)
        return [json.loads(line) for line in result.stdout.splitlines()], result.stderr

    def test_a_line_for_each_text(self):
        lines, told = self.vectors("-f", "-", stdin="One text.\n\u6f22\u5b57 two\nOne text.\n")
        self.assertEqual([line["index"] for line in lines], [0, 1, 2])
        self.assertRegex(told, r"^3 texts, \d+ tokens: \d+ texts/s")
        for line in lines:
            self.assertEqual(len(line["embedding"]), HIDDEN)
            self.assertAlmostEqual(math.hypot(*line["embedding"]), 1, places=5)
        self.assertEqual(lines[0]["embedding"], lines[2]["embedding"])
        self.assertNotEqual(lines[0]["embedding"], lines[1]["embedding"])
        alone, told = self.vectors("-p", "\u6f22\u5b57 two", "--quiet", "--threads", 1)
        self.assertEqual(alone[0]["embedding"], lines[1]["embedding"])
        self.assertEqual(told, "")

    def test_what_is_wrong_is_said(self):
        self.write("config.json", json.dumps({**self.config, "hidden_act": "relu"}))
        self.assert_fails(run("embed", self.folder, "-p", "x"), 1, "hidden_act is 'relu'")
        self.assert_fails(run("embed", self.folder / "none", "-p", "x"), 1, "none")
        self.assert_fails(run("embed", self.folder), 1, "there is no text")


if __name__ == "__main__":
    unittest.main()
