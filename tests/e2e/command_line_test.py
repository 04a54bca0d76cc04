"""The command from outside: help, suggestions, `inspect`, and names of models."""
import json
import os
import struct
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
import forerun  # noqa: E402
from forerun import run  # noqa: E402
from tiny_model import string  # noqa: E402


def tiny_gguf():
    """Two entries and one F32 tensor of shape [2, 3]."""
    header = b"GGUF" + struct.pack("<IQQ", 3, 1, 2)
    header += string("general.architecture") + struct.pack("<I", 8) + string("llama")
    header += string("tokens") + struct.pack("<IIQ", 9, 8, 2) + string("größe") + string("\x1b[2J")
    header += string("w") + struct.pack("<IQQIQ", 2, 3, 2, 0, 0)
    header += bytes(-len(header) % 32)
    return header + struct.pack("<6f", *range(6))


def tiny_safetensors():
    """One F32 tensor of shape [2, 3] and one BF16 one of shape [2]."""
    header = json.dumps({"w": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
                         "b": {"dtype": "BF16", "shape": [2], "data_offsets": [24, 28]}}).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + bytes(28)


class CommandLine(forerun.TestCase):
    def setUp(self):
        super().setUp()
        self.file = self.write("tiny.gguf", tiny_gguf())
        self.home = str(self.folder)

    def test_help_and_version(self):
        commands = [["inspect"], ["pull"], ["generate"], ["chat"], ["embed"], ["isa"], ["tokenize"],
                    ["serve"], ["train"]]
        commands += [["bench", bench] for bench in ("engine", "perplexity", "score")]
        commands += [["heads"], *(["heads", name] for name in
                                  ("list", "show", "activate", "rollback", "export", "import"))]
        for arguments in (["--help"], *([*command, "-h"] for command in commands)):
            result = run(*arguments)
            self.assertEqual(result.returncode, 0)
            self.assertIn("Usage: forerun", result.stdout)
            for line in result.stdout.splitlines():
                self.assertLessEqual(len(line), 100, line)
        self.assertRegex(run("--version").stdout, r"^forerun \d+\.\d+\.\d+\n$")

    def test_suggestions(self):
        self.assert_fails(run("inspct", "x"), 2, "did you mean inspect?")
        self.assert_fails(run("inspect", str(self.file), "--jsno"), 2, "did you mean --json?")
        self.assert_fails(run(), 2, "Run 'forerun --help'")

    def test_inspect(self):
        result = run("inspect", str(self.file), "--tensors")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("['größe', '\\x1b[2J']", result.stdout)
        self.assertIn("[2, 3]", result.stdout)
        self.assertNotIn("\x1b", result.stdout)
        report = json.loads(run("inspect", str(self.file), "--json").stdout)
        self.assertEqual(report["tensors"][0]["shape"], [2, 3])
        self.assertEqual(report["metadata"]["tokens"]["count"], 2)
        self.assertEqual(report["size_bytes"], len(tiny_gguf()))

    def test_inspect_of_directories(self):
        (self.folder / "model").mkdir()
        weights = self.write("model/model.safetensors", tiny_safetensors())
        config = self.write("model/config.json", b'{"model_type": "llama", "num_hidden_layers": 2}')
        folder = str(weights.parent)
        for name in (folder, str(weights)):
            result = run("inspect", name, "--tensors")
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertIn("[2, 3]", result.stdout)
        report = json.loads(run("inspect", folder, "--json").stdout)
        self.assertEqual(report["model"]["layers"], 2)
        self.assertEqual(report["tensors"][0]["type"], "BF16")
        for command in (["generate"], ["bench", "engine"]):
            self.assert_fails(run(*command, str(weights)), 1, "give the directory")
        config.write_bytes(b"{")
        self.assert_fails(run("inspect", folder), 1, "config.json: invalid JSON")
        weights.write_bytes(tiny_safetensors()[:-1])
        self.assert_fails(run("inspect", folder), 1, "is the file cut short?")
        weights.unlink()
        self.write("model/pytorch_model.bin", b"")
        self.assert_fails(run("inspect", folder), 1, "a Python pickle, which is not read")

    def test_inspect_of_broken_files(self):
        whole = tiny_gguf()
        for size in range(len(whole)):
            self.file.write_bytes(whole[:size])
            # The command and its libraries are the same for every cut; a sample keeps this short
            # (every byte is tried in gguf_test.cc).
            if size % 17 == 0 or size == len(whole) - 1:
                self.assert_fails(run("inspect", str(self.file)), 1, "tiny.gguf: ")
        self.assert_fails(run("inspect", "no-such-file.gguf"), 1, "there is no file")
        self.assert_fails(run("inspect", self.home), 1, "give a .gguf file in it: 'tiny.gguf'")
        self.assert_fails(run("inspect", "/dev/null"), 1, "is not a regular file")

    def test_names(self):
        self.assert_fails(
            run("inspect", "smollm2-135m", FORERUN_HOME=self.home), 1, "run: forerun pull smollm2-135m"
        )
        self.assert_fails(run("pull", "smolm2", "--home", self.home), 1, "there are: smollm2-135m")
        for name, sentence in (("../x", "is no name of a model on the hub"),
                               ("/etc/passwd", "is no name of a model on the hub"),
                               ("..", "no model is called")):
            self.assert_fails(run("pull", name, "--home", self.home), 1, sentence)
        self.assertEqual(os.listdir(self.home), ["tiny.gguf"])

    def test_pull_without_python(self):
        result = run("pull", "smollm2-135m", "--home", self.home, PATH=self.home)
        self.assert_fails(result, 1, "python3 is not installed", after="fetching .*\n")

    def test_full_output(self):
        if not os.path.exists("/dev/full"):
            self.skipTest("device absent: /dev/full")
        for arguments in (["inspect", str(self.file)], ["isa"], ["--help"], ["--version"]):
            with open("/dev/full", "w", encoding="utf-8") as full:
                result = subprocess.run(
                    [forerun.COMMAND, *arguments], stdout=full, stderr=subprocess.PIPE, check=False
                )
            self.assertEqual(result.returncode, 1, arguments)
            self.assertRegex(result.stderr, rb"^forerun: cannot write [^\n]+\n$")


if __name__ == "__main__":
    unittest.main(verbosity=2)
