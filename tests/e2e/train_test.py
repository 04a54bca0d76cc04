"""`forerun train`: a head from recorded answers, made by forerun-trainer in forerun's place."""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
import forerun  # noqa: E402
import server_process  # noqa: E402

TRAINER = pathlib.Path(forerun.COMMAND).resolve().parents[2] / "trainer" / "forerun-trainer"
OWN = {"--help", "--trainer"}  # options that are not the trainer's


def described(help_text):
    """{option: all that the help says of it}, however the lines are laid out."""
    found = {}
    for line in help_text.splitlines():
        if match := re.match(r"  (?:-h,\s*)?(--[a-z-]+)(.*)", line):
            name, said = match.groups()
            found[name] = " ".join(said.split())
        elif found and line.startswith(" " * 20):
            found[name] += " " + line.strip()
    return found


class Train(server_process.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        holder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(holder.cleanup)
        cls.traces = pathlib.Path(holder.name) / "traces"
        server = server_process.Server(cls.model, "--served-model-name", "tiny", "--trace-dir", cls.traces)
        for i in range(12):
            answer = server.post("/v1/completions", {"prompt": f"{i} abcd" * 4, "max_tokens": 40,
                                                     "ignore_eos": True, "temperature": 0})
            assert answer.status == 200, answer
        server.stop()

    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = pathlib.Path(holder.name)
        self.head = self.folder / "head"

    def arguments(self, *options):
        return ("train", self.model, "--traces", self.traces, "--out", self.head,
                "--draft-vocab", 64, "--threads", 1, *options)

    def assert_refused(self, result, status, sentence):
        self.assertEqual((result.returncode, result.stdout), (status, ""), result.stderr)
        self.assertIn(sentence, result.stderr)
        self.assertFalse(self.head.exists())

    def test_trains_a_head_that_drafts(self):
        result = forerun.run(*self.arguments("--steps", 2, "--report-every", 1, "--json"))
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertEqual([json.loads(line)["step"] for line in result.stdout.splitlines()][:2], [1, 2])
        self.assertEqual(json.loads((self.head / "config.json").read_text())["draft_vocab_size"], 64)
        replayed = forerun.run("bench", "replay", self.model, "--head", self.head, "--traces", self.traces,
                               "--drafts", self.folder / "drafts", "--json")
        self.assertEqual(replayed.returncode, 0, replayed.stderr)
        drafts = [json.loads(line) for line in (self.folder / "drafts").read_text().splitlines()]
        self.assertEqual(len(drafts), json.loads(replayed.stdout)["records"])
        self.assertTrue(all(-1 <= token < 320 for tokens in drafts for token in tokens))
        self.assertTrue(any(token >= 0 for tokens in drafts for token in tokens))

    def test_traces_of_another_model_are_refused(self):
        (self.folder / "copy").mkdir()
        target = json.loads((self.traces / "target.json").read_text())
        (self.folder / "copy" / "target.json").write_text(json.dumps({**target, "fingerprint": "0" * 16}))
        arguments = ("train", self.model, "--traces", self.folder / "copy", "--out", self.head)
        self.assert_refused(forerun.run(*arguments), 1, "is of another model's weights")
        arguments = ("train", self.model, "--traces", self.folder, "--out", self.head)
        self.assert_refused(forerun.run(*arguments), 1, "holds no traces")

    def test_what_the_trainer_says_of_its_options_is_what_is_said(self):
        self.assert_refused(forerun.run(*self.arguments("--unroll", "many")), 2, "--unroll")
        self.assert_refused(forerun.run(*self.arguments("--loss", "none")), 2, "--loss")
        self.assert_refused(forerun.run(*self.arguments("--unrol", 3)), 2, "did you mean --unroll?")
        ours = described(forerun.run("train", "--help").stdout)
        theirs = described(subprocess.run([TRAINER, "train", "--help"], capture_output=True, text=True,
                                          check=True).stdout)
        for name in ("--traces", "--out", *OWN):
            ours.pop(name)
            theirs.pop(name, None)
        self.assertEqual(ours, theirs)

    def test_signals_are_the_trainers(self):
        process = subprocess.Popen([forerun.COMMAND, *map(str, self.arguments(
            "--epochs", 1_000_000, "--report-every", 1))], stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.assertTrue(process.stdout.readline().startswith("step 1 "))
        self.assertEqual(pathlib.Path(f"/proc/{process.pid}/exe").resolve(), TRAINER)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(forerun.SECONDS), -signal.SIGTERM)

    def test_without_a_trainer_a_sentence_says_so(self):
        alone = self.folder / "bin" / "forerun"
        alone.parent.mkdir()
        shutil.copy(forerun.COMMAND, alone)
        result = subprocess.run([alone, *map(str, self.arguments())], capture_output=True, text=True,
                                env={**os.environ, "PATH": str(self.folder)}, timeout=forerun.SECONDS)
        self.assert_refused(result, 1, "forerun train needs forerun-trainer")
        result = forerun.run(*self.arguments("--trainer", self.model))
        self.assert_refused(result, 1, "is no program that can be run")


if __name__ == "__main__":
    unittest.main(verbosity=2)
