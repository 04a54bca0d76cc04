"""What is served is recorded where somebody asks for it, and a head is replayed on it."""
import itertools
import json
import pathlib
import stat
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
import forerun  # noqa: E402
import server_process  # noqa: E402
import tiny_head  # noqa: E402
import tiny_model  # noqa: E402


class Traces(server_process.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = pathlib.Path(holder.name)
        self.traces = self.folder / "traces"

    def write(self, name, content):
        (self.folder / name).write_bytes(content)
        return self.folder / name

    def serve(self, bodies, *options, keys=()):
        """What the log says of the traces. Keys are those of the first requests."""
        server = self.start("--trace-dir", self.traces, "--log-format", "json", *options)
        for body, key in itertools.zip_longest(bodies, keys, fillvalue="none"):
            answer = server.post("/v1/chat/completions", body, Authorization=f"Bearer {key}")
            self.assertEqual(answer.status, 200, answer)
        server.stop()
        lines = [json.loads(line) for line in server.text().splitlines() if line.startswith("{")]
        return next(line for line in lines if line["event"] == "traces")

    def replay(self, *options):
        model = self.write("tiny.gguf", tiny_model.model())
        self.write("config.json", json.dumps(tiny_head.config()).encode())
        self.write("model.safetensors", tiny_head.safetensors())
        return forerun.run("bench", "replay", model, "--head", self.folder, "--traces", self.traces,
                           "--json", *options)

    @staticmethod
    def body(text, **more):
        return {"messages": [{"role": "user", "content": text}], "max_tokens": 30, "ignore_eos": True,
                "temperature": 0.8, "seed": 4, **more}

    def test_records_and_replays(self):
        told = self.serve([self.body(f"ab{i}") for i in range(5)] + [self.body("secret", store=False)])
        self.assertEqual((told["recorded"], told["refused"], told["dropped"]), (5, 1, 0), told)
        self.assertEqual(stat.S_IMODE(self.traces.stat().st_mode), 0o700)
        files = list(self.traces.glob("*.trace"))
        self.assertEqual([stat.S_IMODE(file.stat().st_mode) for file in files], [0o600])
        result = self.replay()
        self.assertEqual(result.returncode, 0, result.stderr)
        found = json.loads(result.stdout)
        # The first token of each answer is the target's.
        self.assertEqual((found["records"], found["tokens"]), (5, 5 * 29))
        self.assertEqual(json.loads(self.replay("--skip", 3).stdout)["records"], 2)
        self.assertEqual(json.loads(self.replay("--limit", 1).stdout)["records"], 1)

    def test_keys_that_are_not_recorded(self):
        file = self.write("keys", b"silent\n")
        told = self.serve([self.body(f"ab{i}") for i in range(4)], "--api-key", "open", "--unrecorded-key", "closed",
                          "--unrecorded-key-file", file, keys=["open", "closed", "silent", "open"])
        self.assertEqual((told["recorded"], told["refused"]), (2, 2), told)

    def test_records_a_share(self):
        told = self.serve([self.body(f"ab{i}") for i in range(3)], "--trace-rate", 0)
        self.assertEqual((told["recorded"], told["left_out"]), (0, 3))
        self.assertIn("holds no traces to replay", self.replay().stderr)

    def test_a_folder_is_of_one_model(self):
        self.serve([self.body("ab")])
        target = json.loads((self.traces / "target.json").read_text())
        (self.traces / "target.json").write_text(json.dumps({**target, "fingerprint": "0" * 16}))
        model = self.write("tiny.gguf", tiny_model.model())
        refused = forerun.run("serve", model, "--port", 0, "--trace-dir", self.traces)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("is of another model's weights", refused.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
