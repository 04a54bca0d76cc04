"""Drafts over HTTP: the answers are those without them, and what they brought is told."""
import json
import pathlib
import re
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
import forerun  # noqa: E402
import server_process  # noqa: E402
import tiny_head  # noqa: E402
import tiny_model  # noqa: E402

PATHS = ("/v1/completions", "/v1/chat/completions", "/generate")


def body_of(path, seed, prediction=None):
    if path == "/generate":
        return {"text": "ab" * 20, "sampling_params": {"max_new_tokens": 60, "ignore_eos": True,
                                                       "temperature": 0.8, "seed": seed}}
    body = {"max_tokens": 60, "ignore_eos": True, "temperature": 0.8, "seed": seed}
    if prediction is not None:
        body["prediction"] = {"type": "content", "content": prediction}
    if path == "/v1/completions":
        return {**body, "prompt": "ab" * 20}
    return {**body, "messages": [{"role": "user", "content": "ab" * 20}]}


def text_of(answer):
    document = answer.json()
    if "text" in document:
        return document["text"]
    choice = document["choices"][0]
    return choice["text"] if "text" in choice else choice["message"]["content"]


class Speculation(server_process.TestCase):
    options = ("--speculation", "forced", "--max-draft", 8)

    def test_answers_are_those_without_drafts(self):
        plain = self.start("--speculation", "off")
        for path in PATHS:
            for seed in range(3):
                expected = plain.post(path, body_of(path, seed))
                self.assertEqual(expected.status, 200, expected)
                text = text_of(expected)
                for _ in range(3):  # its own earlier answers among what is drafted from
                    answer = self.server.post(path, body_of(path, seed, text))
                    self.assertEqual(text_of(answer), text)
        told = self.server.get("/forerun/speculation").json()
        self.assertGreater(told["accepted_tokens"], 0)
        self.assertLessEqual(told["accepted_tokens"], told["draft_tokens"])
        self.assertEqual(plain.get("/forerun/speculation").json()["drafts"], 0)

    def test_history_outlives_the_process(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        kept = pathlib.Path(holder.name, "history")
        accepted = []
        for _ in range(2):
            server = self.start("--speculation", "forced", "--history-file", kept)
            server.post("/v1/completions", body_of("/v1/completions", 5))
            accepted.append(server.get("/forerun/speculation").json()["accepted_tokens"])
            server.stop()
        self.assertGreater(accepted[1], accepted[0] + 20)
        kept.write_bytes(b"something else")
        with self.assertRaises(AssertionError):
            self.start("--speculation", "forced", "--history-file", kept)

    def test_metrics_and_the_route_agree(self):
        for seed in range(2):
            self.server.post("/generate", body_of("/generate", seed))
        told = self.server.get("/forerun/speculation").json()
        for name, key in (("num_drafts", "drafts"), ("num_draft_tokens", "draft_tokens"),
                          ("num_accepted_tokens", "accepted_tokens")):
            self.assertEqual(self.server.figure(f"spec_decode_{name}_total"), told[key])
        for kind in ("draft", "accepted"):
            by_source = sum(one[f"{kind}_tokens"] for one in told["by_source"].values())
            self.assertEqual(by_source, told[f"{kind}_tokens"])
            self.assertEqual(self.server.figure(f"spec_decode_source_{kind}_tokens_total"), by_source)
        places = self.server.figure("spec_decode_num_accepted_tokens_per_pos_total")
        self.assertEqual(places, told["accepted_tokens"])
        self.assertAlmostEqual(told["acceptance_length"],
                               1 + told["accepted_tokens"] / max(told["drafts"], 1))

    def test_a_request_is_told_of_its_drafts(self):
        for _ in range(5):
            answer = self.server.post("/generate", body_of("/generate", 7)).json()
        info = answer["meta_info"]
        self.assertGreater(info["spec_verify_ct"], 0, info)
        self.assertGreaterEqual(info["spec_draft_token_num"], info["spec_accept_token_num"])
        self.assertLessEqual(info["spec_accept_rate"], 1)
        self.assertGreaterEqual(info["spec_accept_length"], 1)


class Command(forerun.TestCase):
    def test_what_is_no_kind(self):
        model = self.write("tiny.gguf", tiny_model.model())
        for arguments in (["serve", model, "--speculation", "fast"],
                          ["bench", "speculation", model, "--prompts", "x", "--speculation", "auto,fast"]):
            result = forerun.run(*arguments)
            self.assertEqual(result.returncode, 2, result)
            self.assertIn("it may be auto, off, history, prediction, head, forced, draft=MODEL or "
                          "eagle3=FOLDER",
                          result.stderr)

    def bench(self, model, *arguments):
        prompts = self.write("prompts.jsonl", b'{"prompt": "abab"}\n{"prompt": "cdcd"}\n')
        return forerun.run("bench", "speculation", model, "--prompts", prompts, "--raw", "--tokens", 60,
                           "--concurrency", "1,2", "--slice-seconds", 0.01, "--json", *arguments)

    def head(self, **changes):
        self.write("config.json", json.dumps(tiny_head.config(**changes)).encode())
        return self.write("model.safetensors", tiny_head.safetensors()).parent

    def test_models_draft_and_change_nothing(self):
        model = self.write("tiny.gguf", tiny_model.model())
        for kind in (f"draft={model}", f"eagle3={self.head()}"):
            result = self.bench(model, "--speculation", kind, "--temperature", "0,1")
            self.assertEqual(result.returncode, 0, result.stderr)
            for run in json.loads(result.stdout)["runs"]:
                self.assertEqual(run["identical"], 2, kind)

    def test_models_that_do_not_fit(self):
        model = self.write("tiny.gguf", tiny_model.model())
        texts = tiny_model.keys()["tokenizer.ggml.tokens"][1]
        other = self.write("other.gguf", tiny_model.model(
            tokenizer__ggml__tokens=[*texts[:300], "<other>", *texts[301:]]))
        for drafter, sentence in (
                (other, "cannot draft for"),
                ("/nowhere.gguf", "nowhere.gguf"),
                ({"vocab_size": 500}, "vocab_size is 500; the target's is 320"),
                ({"norm_before_fc": True}, "heads of EAGLE-3.1 cannot be used yet"),
                ({"num_hidden_layers": 2}, "num_hidden_layers is 2; it must be 1")):
            is_head = isinstance(drafter, dict)
            kind = f"eagle3={self.head(**drafter)}" if is_head else f"draft={drafter}"
            result = self.bench(model, "--speculation", kind)
            self.assertEqual(result.returncode, 1, result)
            self.assertIn(sentence, result.stderr)
            served = forerun.run("serve", model, "--port", 0, "--speculation", kind)
            self.assertIn(sentence, served.stderr)

    def test_synthetic_acceptance(self):
        model = self.write("tiny.gguf", tiny_model.model())
        result = self.bench(model, "--speculation", "forced", "--max-draft", 4,
                            "--synthetic-acceptance", 3)
        self.assertEqual(result.returncode, 0, result.stderr)
        for run in json.loads(result.stdout)["runs"]:
            self.assertEqual(run["identical"], 2)
            self.assertGreater(run["acceptance_length_with_bonus"], 2)
            self.assertLess(run["acceptance_length_with_bonus"], 4)

    def test_bench(self):
        model = self.write("tiny.gguf", tiny_model.model())
        prompts = self.write("prompts.jsonl", "\n".join(
            f'{{"prompt": "ab{i}abab", "prediction": "abab", "response": ["abcabcabc", "abcabcabd"]}}'
            for i in range(6)).encode())
        result = forerun.run("bench", "speculation", model, "--prompts", prompts, "--raw",
                             "--speculation", "forced", "--concurrency", "1,3", "--tokens", 40, "--temperature", "0,1",
                             "--slice-seconds", 0.01)
        self.assertEqual(result.returncode, 0, result.stderr)
        lines = result.stdout.splitlines()
        self.assertEqual(len(lines), 5)
        for line in lines[1:]:
            self.assertRegex(line, r"^forced +[13] +[01]\.00 .* 6/6 ")
        replayed = forerun.run("bench", "speculation", model, "--prompts", prompts, "--raw",
                               "--replay", "--concurrency", 2, "--speculation", "forced", "--json")
        self.assertEqual(replayed.returncode, 0, replayed.stderr)
        self.assertIn('"answers": 12', replayed.stdout)
        self.assertTrue(re.search(r'"accepted_tokens": [1-9]', replayed.stdout), replayed.stdout)


if __name__ == "__main__":
    unittest.main()
