"""`forerun bench learning` from outside, on a tiny model, and what its scripts make of a run."""
import json
import os
import pathlib
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
import forerun  # noqa: E402
import tiny_head  # noqa: E402
import tiny_model  # noqa: E402

BENCH = pathlib.Path(__file__).resolve().parent.parent.parent / "bench"
TOKENS = 30
REQUESTS = [3, 2]


class BenchLearning(forerun.TestCase):
    def setUp(self):
        super().setUp()
        self.model = self.write("tiny.gguf", tiny_model.model())
        self.head = self.folder / "head"
        self.head.mkdir()
        (self.head / "config.json").write_text(json.dumps(tiny_head.config()))
        (self.head / "model.safetensors").write_bytes(tiny_head.safetensors())
        self.streams = [self.write(f"{name}.jsonl", "\n".join(
            json.dumps({"text": f"{name}{i} ab ab ab"}) for i in range(3)).encode()) for name in "xy"]
        self.run_file = self.folder / "run.json"

    def bench(self, *arguments):
        return forerun.run(
            "bench", "learning", self.model, "--streams", ",".join(map(str, self.streams)), "--static-head",
            self.head, "--concurrency", 1, "--window", 1, "--tokens", TOKENS, "--threads", 1, "--learn-dir",
            self.folder / "work", "--trace-dir", self.folder / "traces", "--out", self.run_file, *arguments)

    def script(self, name, *arguments):
        result = subprocess.run([sys.executable, BENCH / name, *map(str, arguments)], capture_output=True, text=True,
                                env={**os.environ, "FORERUN": forerun.COMMAND}, check=False)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout

    def run_of(self, modes):
        result = self.bench("--modes", modes, "--requests", ",".join(map(str, REQUESTS)))
        self.assertEqual(result.returncode, 0, result.stderr)
        return json.loads(self.run_file.read_text())

    def test_each_stream_has_requests_of_its_own(self):
        [mode] = self.run_of("none")["modes"]
        self.assertEqual([window["segment"] for window in mode["windows"]], ["x"] * 3 + ["y"] * 2)

    def test_heads_are_replayed(self):
        none, online = self.run_of("none,online")["modes"]
        self.assertNotIn("cost", none)
        self.assertEqual(none["answers"]["tokens"], online["answers"]["tokens"])
        self.assertEqual(len(online["cost"]["steps"]), 7)
        replayed_file = self.folder / "replayed.json"
        self.script("learning_replayed", self.model, self.run_file, self.folder / "work", self.folder / "traces",
                    "--static", self.head, "--out", replayed_file)
        [_, static] = json.loads(replayed_file.read_text())["modes"]
        # The last answer, too, though the run was over by then.
        self.assertEqual(static["answers"]["tokens"], [TOKENS - 1] * sum(REQUESTS))
        self.assertLess(sum(static["answers"]["rounds"]), sum(REQUESTS) * (TOKENS - 1))
        for window in static["windows"]:
            self.assertGreaterEqual(window["acceptance_length"], 1.0)
            self.assertGreater(window["timed_tok_s"], 0.0)
        table = self.script("learning_table", replayed_file, "--against", "static", "--bounds-over", 2)
        self.assertEqual([line.split("|")[2].strip() for line in table.splitlines()[2:]], ["x", "y"], table)
        self.assertNotIn("–", table)

    def test_numbers_of_requests_that_cannot_be(self):
        self.assert_fails(self.bench("--modes", "none", "--requests", "3,2,1"), 1, "one for each of the --streams")
        self.assert_fails(self.bench("--modes", "none", "--requests", "3,4"), 1, "y has only 3 prompts")


if __name__ == "__main__":
    unittest.main()
