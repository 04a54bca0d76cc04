"""`forerun bench` from outside, on a tiny model: what it prints, not how fast it is."""
import json
import math
import struct
import sys
import unittest

sys.dont_write_bytecode = True
import forerun  # noqa: E402
import tiny_model  # noqa: E402


class BenchEngine(forerun.TestCase):
    def setUp(self):
        super().setUp()
        self.model = self.write("tiny.gguf", tiny_model.model())

    def bench(self, *arguments):
        return forerun.run(
            "bench", "engine", self.model, "--prompt", 40, "--depth", 70, "--generate", 8,
            "--repetitions", 1, *arguments,
        )

    def test_json(self):
        result = self.bench("--batch", 2, "--verify", "3", "--json", "--profile")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stderr, "", "a progress line where nobody looks")
        document = json.loads(result.stdout)
        self.assertGreater(document["ceiling"]["read_gb_s"], 0)
        self.assertGreater(document["ceiling"]["int8_tops"], 0)
        [prefill], [decode] = document["prefill"], document["decode"]
        [verify], [engine] = document["verify"], document["engine"]
        self.assertEqual(prefill["tokens"], 40)
        self.assertEqual((decode["batch"], decode["depth"]), (2, 70))
        self.assertEqual((verify["tokens"], verify["depth"]), (3, 70))
        self.assertEqual(engine["batch"], 2)
        for entry, fields in (
            (prefill, ["tok_s", "fraction"]),
            (decode, ["tok_s", "gb_s", "fraction"]),
            (verify, ["ms", "ratio_to_1", "ratio_to_bytes_at_75_percent"]),
            (engine, ["tok_s", "gb_s", "fraction"]),
        ):
            for field in fields:
                self.assertGreater(entry[field], 0, field)
            self.assertGreaterEqual(entry["repetitions"], 1)
        # F32 weights, every matrix once, the embedding as the output matrix; F16 keys and values.
        layer = 4 * 32 * 32 + 3 * 32 * 64
        weight_bytes = 4 * (tiny_model.LAYERS * layer + 320 * 32)
        self.assertEqual(document["weight_bytes"], weight_bytes)
        read = weight_bytes + 2 * 70 * tiny_model.LAYERS * 2 * 32 * 2
        self.assertAlmostEqual(decode["gb_s"], read / (decode["ms"] * 1e6), places=6)
        self.assertAlmostEqual(decode["fraction"], decode["gb_s"] / decode["ceiling_gb_s"])
        self.assertAlmostEqual(sum(decode["profile"].values()), 1.0)
        memory = document["memory"]
        self.assertGreaterEqual(memory["packed_weight_bytes"], weight_bytes)
        self.assertGreaterEqual(memory["rss_anon_bytes"], weight_bytes)
        self.assertGreater(memory["kv_pool_bytes"], 0)
        self.assertLess(document["load"]["seconds"], document["load"]["first_token_seconds"])
        self.assertRegex(document["commit"], r"^([0-9a-f]{12}(\+changes)?|unknown)$")
        self.assertTrue(document["machine"]["processor"])
        self.assertEqual(document["model"], "tiny")

    def test_counts_the_bytes_of_int8_keys_and_values(self):
        result = self.bench("--batch", 2, "--verify", 3, "--json", "--kv-type", "int8")
        document = json.loads(result.stdout)
        self.assertEqual(document["kv_type"], "int8")
        [decode] = document["decode"]
        # A byte for each of 16 dimensions and four for their scale, of keys and of values.
        token_bytes = 2 * tiny_model.LAYERS * tiny_model.HEADS * (16 + 4)
        read = document["weight_bytes"] + 2 * 70 * token_bytes
        self.assertAlmostEqual(decode["gb_s"], read / (decode["ms"] * 1e6), places=6)
        self.assertEqual(document["memory"]["kv_pool_bytes"], 8 * tiny_model.CONTEXT * token_bytes)

    def test_sizes_that_cannot_be(self):
        for arguments, sentence in {
            ("--depth", "300"): "--depth and --verify reach 316 tokens; the model's context is 256",
            ("--prompt", "300"): "--prompt reach 300 tokens",
            ("--generate", "1000"): "--generate reach 1016 tokens",
        }.items():
            self.assert_fails(self.bench(*arguments), 1, sentence)
        for arguments, sentence in {
            ("--batch", "0"): "--batch",
            ("--batch", "1,x"): "--batch",
            ("--bath", "1"): "did you mean --batch?",
        }.items():
            self.assert_fails(self.bench(*arguments), 2, sentence)


    def test_fewer_tokens_than_sequences(self):
        model = tiny_model.model(
            without=["tokenizer.ggml.tokens"], token_embd__weight=("F32", [8, tiny_model.D_MODEL])
        )
        self.model.write_bytes(model)
        result = self.bench("--batch", 16, "--verify", 1, "--json")
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_names_that_a_terminal_would_obey(self):
        self.model.write_bytes(tiny_model.model(general__name="ti\x1b[2Jny"))
        result = self.bench("--batch", 1, "--verify", 1)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertTrue(result.stdout.startswith("'ti\\x1b[2Jny' on "), result.stdout)

    def test_weights_that_are_not_numbers(self):
        one, nan = struct.pack("<f", 1.0), struct.pack("<f", math.nan)
        norm = tiny_model.D_MODEL
        self.model.write_bytes(tiny_model.model().replace(one * norm, nan * norm))
        self.assert_fails(self.bench(), 1, "the model's logit of token 0 is NaN")


class BenchPerplexity(forerun.TestCase):
    def setUp(self):
        super().setUp()
        self.model = self.write("tiny.gguf", tiny_model.model())

    def perplexity(self, text, *arguments, **more):
        return forerun.run(
            "bench", "perplexity", self.model, "--text", text, "--window", 16, *arguments, **more
        )

    def test_json(self):
        text = self.write("text.txt", "The tide rises, the tide falls, the twilight darkens.\n")
        result = self.perplexity(text, "--json")
        self.assertEqual(result.returncode, 0, result.stderr)
        document = json.loads(result.stdout)
        # 53 letters, a token each: three whole windows, of each the predictions from 8 to 14.
        self.assertEqual((document["window"], document["windows"], document["tokens"]), (16, 3, 21))
        self.assertGreater(document["perplexity"], 1)
        first = json.loads(self.perplexity(text, "--json", "--windows", 1).stdout)
        self.assertEqual(first["tokens"], 7)
        again = self.perplexity("-", "--json", stdin=text.read_text())
        self.assertEqual(json.loads(again.stdout)["perplexity"], document["perplexity"])

    def test_types_of_keys_and_values(self):
        text = self.write("text.txt", "The tide rises, the tide falls, the twilight darkens.\n")
        seen = set()
        for kv_type in ("f16", "bf16", "int8"):
            document = json.loads(self.perplexity(text, "--json", "--kv-type", kv_type).stdout)
            self.assertEqual(document["kv_type"], kv_type)
            seen.add(document["perplexity"])
        self.assertEqual(len(seen), 3)
        line = self.perplexity(text, "--kv-type", "int8").stdout
        self.assertIn(", keys and values int8\n", line)

    def test_tells_a_terminal_how_far_it_is(self):
        text = self.write("text.txt", "The tide rises, the tide falls, the twilight darkens.")
        arguments = ("bench", "perplexity", self.model, "--text", text, "--window", 16)
        status, output, shown = forerun.run_on_terminal(*arguments)
        self.assertEqual(status, 0)
        self.assertRegex(output, r"^perplexity [\d.]+ over 21 tokens \(3 windows of 16\)")
        self.assertIn("scoring [######..............] 1 of 3 windows, perplexity ", shown)
        self.assertTrue(shown.endswith("\r\x1b[K"), "the line is gone at the end")

    def test_scores_what_generate_reports(self):
        # Of a window of 4, the one prediction from position 2: the log-prob of the fourth letter.
        text = self.write("text.txt", "tide")
        result = self.perplexity(text, "--json", "--window", 4)
        perplexity = json.loads(result.stdout)["perplexity"]
        told = forerun.run(
            "generate", self.model, "--raw", "-p", "tid", "-n", 1, "--json", "--logprobs", 20,
            "--logit-bias", f"{ord('e')}=100",
        )
        [token] = json.loads(told.stdout)["choices"][0]["logprobs"]["tokens"]
        self.assertEqual(token["token_id"], ord("e"))
        self.assertAlmostEqual(math.log(perplexity), -token["logprob"], places=5)

    def test_texts_that_cannot_be(self):
        self.assert_fails(self.perplexity(self.folder / "none"), 1, "No such file")
        self.assert_fails(self.perplexity(self.folder), 1, "Is a directory")
        short = self.write("short.txt", "short")
        self.assert_fails(self.perplexity(short), 1, "has 5 tokens; one window takes 16")
        self.assert_fails(
            self.perplexity(short, "--window", 300), 1, "--window is 300; the model's context is 256"
        )


class BenchScore(forerun.TestCase):
    def setUp(self):
        super().setUp()
        self.model = self.write("tiny.gguf", tiny_model.model())

    def score(self, *lines, options=(), **more):
        text = "".join(json.dumps(line) + "\n" for line in lines)
        return forerun.run("bench", "score", self.model, "--requests", "-", "--json", *options,
                           stdin=text, **more)

    def requests(self, *lines):
        result = self.score(*lines)
        self.assertEqual(result.returncode, 0, result.stderr)
        return json.loads(result.stdout)["requests"]

    def test_scores_what_generate_reports(self):
        told = forerun.run("generate", self.model, "--raw", "-p", "tide", "-n", 5, "--json",
                           "--logprobs", 0)
        tokens = json.loads(told.stdout)["choices"][0]["logprobs"]["tokens"]
        ids = [token["token_id"] for token in tokens]
        [whole] = self.requests({"context": [ord(c) for c in "tide"], "continuation": ids})
        self.assertAlmostEqual(whole["logprob"], sum(token["logprob"] for token in tokens), places=5)
        self.assertTrue(whole["greedy"])
        self.assertEqual((whole["context_tokens"], whole["continuation_tokens"]), (4, 5))
        other = [ids[0], (ids[1] + 1) % 256, *ids[2:]]
        [less] = self.requests({"context": [ord(c) for c in "tide"], "continuation": other})
        self.assertFalse(less["greedy"])
        self.assertLess(less["logprob"], whole["logprob"])

    def test_types_of_keys_and_values(self):
        line = {"context": "The tide", "continuation": " rises."}
        scores = set()
        for kv_type in ("f16", "bf16", "int8"):
            document = json.loads(self.score(line, options=("--kv-type", kv_type)).stdout)
            self.assertTrue(document["system_fingerprint"].endswith(f"-kv_{kv_type}"))
            scores.add(document["requests"][0]["logprob"])
        self.assertEqual(len(scores), 3)

    def test_parts_add_up(self):
        whole, first, second = self.requests(
            {"context": "The tide", "continuation": " rises."},
            {"context": "The tide", "continuation": " ri"},
            {"context": "The tide ri", "continuation": "ses."})
        self.assertAlmostEqual(whole["logprob"], first["logprob"] + second["logprob"], places=9)

    def test_company_changes_nothing(self):
        lines = [{"context": "x" * (3 * i + 1), "continuation": "yz" * (i % 50 + 1)}
                 for i in range(40)]
        together = self.requests(*lines)
        for i in (0, 17, 39):
            self.assertEqual(self.requests(lines[i]), [together[i]])

    def test_choices(self):
        result = self.score(
            {"context": "a", "choices": ["b", "cd", "e"], "answer": 2},
            {"context": "a", "choices": ["b", "cd", "e"]},
            {"context": "a", "choices": ["f"], "answer": 0})
        document = json.loads(result.stdout)
        first, second, third = document["requests"]
        logprobs = [choice["logprob"] for choice in first["choices"]]
        self.assertEqual(first["best"], logprobs.index(max(logprobs)))
        by_length = [logprobs[0], logprobs[1] / 2, logprobs[2]]
        self.assertEqual(first["best_by_length"], by_length.index(max(by_length)))
        self.assertEqual([choice["bytes"] for choice in first["choices"]], [1, 2, 1])
        self.assertNotIn("answer", second)
        right = (first["best"] == 2) + (third["best"] == 0)
        self.assertEqual(document["accuracy"]["questions"], 2)
        self.assertAlmostEqual(document["accuracy"]["raw"], right / 2)

    def test_says_it_in_a_line_or_two(self):
        file = self.write("requests.jsonl", '{"context": "a", "choices": ["b", "c"], "answer": 0}\n'
                          '{"context": "%s", "continuation": "b"}\n' % ("a" * 300))
        result = forerun.run("bench", "score", self.model, "--requests", file)
        self.assertRegex(
            result.stdout,
            r"^3 continuations, log-likelihood -[\d.]+ in all, \d greedy, 1 with a shortened context; "
            r"260 tokens in [\d.]+ s\naccuracy [\d.]+ %, by length [\d.]+ %, of 1 questions\n$")

    def test_requests_that_cannot_be(self):
        self.assert_fails(self.score({"context": "a"}), 1, "'-': line 1: a request has a continuation")
        self.assert_fails(self.score(), 1, "there are no requests")
        missing = forerun.run("bench", "score", self.model, "--requests", self.folder / "none")
        self.assert_fails(missing, 1, "No such file")
        self.assert_fails(forerun.run("bench", "score", self.model), 2, "--requests is required")


if __name__ == "__main__":
    unittest.main(verbosity=2)
