"""`forerun embed` from outside, on a tiny random BERT in a folder of its own."""
import json
import math
import sys
import unittest

sys.dont_write_bytecode = True
import forerun  # noqa: E402
import tiny_encoder  # noqa: E402
from forerun import run  # noqa: E402


class Embed(forerun.TestCase):
    def setUp(self):
        super().setUp()
        self.config = tiny_encoder.write(self.folder)

    def vectors(self, *arguments, **options):
        result = run("embed", self.folder, *arguments, **options)
        self.assertEqual(result.returncode, 0, result.stderr)
        return [json.loads(line) for line in result.stdout.splitlines()], result.stderr

    def test_a_line_for_each_text(self):
        lines, told = self.vectors("-f", "-", stdin="One text.\n\u6f22\u5b57 two\nOne text.\n")
        self.assertEqual([line["index"] for line in lines], [0, 1, 2])
        self.assertRegex(told, r"^3 texts, \d+ tokens: \d+ texts/s")
        for line in lines:
            self.assertEqual(len(line["embedding"]), tiny_encoder.HIDDEN)
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
