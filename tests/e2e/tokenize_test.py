"""`forerun tokenize` from outside, on a small tokenizer.json and on a tiny GGUF."""
import json
import pathlib
import sys
import unittest

sys.dont_write_bytecode = True
import forerun  # noqa: E402
import tiny_model  # noqa: E402
from forerun import run  # noqa: E402

TOKENIZERS = pathlib.Path(__file__).resolve().parents[1] / "golden/tokenizers"


class Tokenize(forerun.TestCase):
    def output(self, *arguments, **options):
        result = run("tokenize", *arguments, **options)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout

    def test_ids_are_the_librarys(self):
        for name in ("byte_level", "gemma", "word_piece"):
            cases = json.loads((TOKENIZERS / f"{name}.tokens.json").read_text())
            for case in cases[80:84]:
                out = self.output(TOKENIZERS / f"{name}.json", "-f", "-", "--special", "--ids",
                                  stdin=case["text"] + "\n")
                self.assertEqual(json.loads(out), case["ids"], case["text"])

    def test_tokens_of_a_folder(self):
        self.write("tokenizer.json", (TOKENIZERS / "byte_level.json").read_bytes())
        shown = json.loads(self.output(self.folder, "-p", "a\u00e9", "--json"))
        self.assertEqual([token["token"] for token in shown], ["<|begin|>", "a", "\u00e9"])
        self.assertEqual([token["special"] for token in shown], [True, False, False])
        bare = json.loads(self.output(self.folder, "-p", "a\u00e9", "--json", "--no-added"))
        self.assertEqual(bare, shown[1:])

    def test_a_gguf_and_its_special_tokens(self):
        path = self.write("tiny.gguf", tiny_model.model())
        self.assertEqual(self.output(path, "-p", "A<|end|>", "--special"),
                         '65\t"A"\n257\t"<|end|>"\tspecial\n'.replace("A", tiny_model.bytes_of_token(65)))
        plain = json.loads(self.output(path, "-p", "A<|end|>", "--ids"))
        self.assertEqual(len(plain), len("A<|end|>"))

    def test_what_is_wrong_is_said(self):
        self.assert_fails(run("tokenize", TOKENIZERS / "gemma.json"), 1, "there is no text")
        self.assert_fails(run("tokenize", self.folder / "no.json", "-p", "x"), 1, "there is no file")
        self.assert_fails(run("tokenize", self.write("bad.json", "{"), "-p", "x"), 1, "cannot be read")


if __name__ == "__main__":
    unittest.main()
