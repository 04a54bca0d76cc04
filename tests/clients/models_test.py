"""The models that are served, and vectors of texts, through the official client."""
import base64
import math
import pathlib
import struct
import sys
import unittest

sys.dont_write_bytecode = True
import serving  # noqa: E402
from strict import strict  # noqa: E402

import openai  # noqa: E402
import reciting_model  # noqa: E402
import tiny_encoder  # noqa: E402


class Models(serving.TestCase):
    options = ("--served-model-name", "org/another")

    @classmethod
    def model_file(cls):
        return reciting_model.model({"H": ["Hello"]})

    def test_a_list(self):
        models = self.client.models.list()
        self.assertEqual([strict(model).id for model in models], ["served", "org/another"])
        self.assertEqual({model.object for model in models}, {"model"})
        self.assertTrue(all(model.created > 0 and model.owned_by for model in models))

    def test_one(self):
        for name in ("served", "org/another"):
            self.assertEqual(strict(self.client.models.retrieve(name)).id, name)
            answer = self.client.completions.create(model=name, prompt="H")
            self.assertEqual(answer.model, name)
        with self.assertRaises(openai.NotFoundError) as caught:
            self.client.models.retrieve("none")
        self.assertEqual(caught.exception.code, "model_not_found")

    def test_no_vectors_without_an_encoder(self):
        with self.assertRaises(openai.APIStatusError) as caught:
            self.client.embeddings.create(model="served", input="a")
        self.assertIn("--embedding-model", caught.exception.message)


class Embeddings(serving.TestCase):
    @classmethod
    def model_file(cls):
        return reciting_model.model({"H": ["Hello"]})

    @classmethod
    def model(cls):
        encoder = pathlib.Path(cls.folder, "encoder")
        tiny_encoder.write(encoder)
        cls.options = ("--embedding-model", encoder)
        return super().model()

    def embed(self, texts, **options):
        return strict(self.client.embeddings.create(model=self.name(), input=texts, **options))

    def name(self):
        (name,) = {model.id for model in self.client.models.list()} - {"served"}
        return name

    def test_a_vector(self):
        answer = self.embed("the cat")
        (one,) = answer.data
        self.assertEqual((answer.object, one.object, one.index), ("list", "embedding", 0))
        self.assertEqual(answer.model, self.name())
        self.assertEqual(len(one.embedding), tiny_encoder.HIDDEN)
        self.assertAlmostEqual(math.hypot(*one.embedding), 1, places=5)
        self.assertGreater(answer.usage.prompt_tokens, 0)
        self.assertEqual(answer.usage.total_tokens, answer.usage.prompt_tokens)

    def test_several(self):
        both = self.embed(["the cat", "a dog"]).data
        self.assertEqual([one.index for one in both], [0, 1])
        for one, text in zip(both, ("the cat", "a dog"), strict=True):
            self.assertEqual(one.embedding, self.embed(text).data[0].embedding)

    def test_both_encodings_say_the_same(self):
        numbers = self.embed("the cat", encoding_format="float").data[0].embedding
        raw = self.client.embeddings.with_raw_response.create(
            model=self.name(), input="the cat", encoding_format="base64").http_response.json()
        data = base64.b64decode(raw["data"][0]["embedding"])
        decoded = struct.unpack(f"<{len(data) // 4}f", data)
        self.assertEqual(len(decoded), len(numbers))
        for a, b in zip(decoded, numbers, strict=True):
            self.assertAlmostEqual(a, b, places=6)

    def test_what_is_no_input(self):
        for texts in ([], [""], "", [[-1]]):
            with self.assertRaises(openai.BadRequestError) as caught:
                self.embed(texts)
            self.assertEqual(caught.exception.param.split("[")[0], "input", texts)


if __name__ == "__main__":
    unittest.main(verbosity=2)
