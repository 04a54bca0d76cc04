"""Completions through the official client: texts and token ids, one prompt and many, log-probs of
what was given and of what was said."""
import sys
import unittest

sys.dont_write_bytecode = True
import serving  # noqa: E402
from strict import strict  # noqa: E402

import openai  # noqa: E402
import reciting_model  # noqa: E402

TEXT = "Hello, world café!"


class Completions(serving.TestCase):
    @classmethod
    def model_file(cls):
        return reciting_model.model({
            "H": ["Hello", ", wor", "ld", b" caf\xc3", b"\xa9!"], "G": ["Good", " bye."]})

    def ask(self, prompt="Say H", **options):
        return strict(self.client.completions.create(model="served", prompt=prompt, **options))

    def texts(self, prompt, **options):
        return [choice.text for choice in self.ask(prompt, **options).choices]

    def test_an_answer(self):
        answer = self.ask()
        self.assertEqual((answer.object, answer.model), ("text_completion", "served"))
        self.assertTrue(answer.id.startswith("cmpl-"), answer.id)
        self.assertTrue(answer.system_fingerprint)
        (choice,) = answer.choices
        self.assertEqual((choice.index, choice.text, choice.finish_reason), (0, TEXT, "stop"))
        self.assertIsNone(choice.logprobs)
        self.assertEqual(answer.usage.completion_tokens, 6)
        self.assertEqual(answer.usage.total_tokens, answer.usage.prompt_tokens + 6)

    def test_prompts_of_every_kind(self):
        self.assertEqual(self.texts(["Say H", "Say G"]), [TEXT, "Good bye."])
        self.assertEqual(self.texts(list(b"Say H")), [TEXT])
        self.assertEqual(self.texts([list(b"Say G"), list(b"H")]), ["Good bye.", TEXT])

    def test_choices_of_several_prompts(self):
        answer = self.ask(["Say H", "Say G"], n=2)
        self.assertEqual([choice.index for choice in answer.choices], [0, 1, 2, 3])
        self.assertEqual([choice.text for choice in answer.choices],
                         [TEXT] * 2 + ["Good bye."] * 2)

    def test_a_stream(self):
        with self.client.completions.create(
                model="served", prompt=["Say H", "Say G"], stream=True,
                stream_options={"include_usage": True}) as stream:
            *events, last = [strict(event) for event in stream]
        texts, ends = ["", ""], [None, None]
        for event in events:
            self.assertIsNone(event.usage)
            for choice in event.choices:
                texts[choice.index] += choice.text
                ends[choice.index] = choice.finish_reason or ends[choice.index]
        self.assertEqual((texts, ends), ([TEXT, "Good bye."], ["stop"] * 2))
        self.assertEqual(last.choices, [])
        self.assertEqual(last.usage.completion_tokens, 6 + 3)

    def test_echo(self):
        self.assertEqual(self.texts("Say H", echo=True), ["Say H" + TEXT])
        self.assertEqual(self.texts("Say H", echo=True, max_tokens=0), ["Say H"])

    def test_logprobs(self):
        logprobs = self.ask(logprobs=2).choices[0].logprobs
        self.assertEqual("".join(logprobs.tokens[:3]), "Hello, world")
        self.assertEqual(logprobs.text_offset[:3], [0, 5, 10])
        self.assertEqual(len(logprobs.tokens), len(logprobs.token_logprobs))
        for token, logprob, top in zip(logprobs.tokens, logprobs.token_logprobs,
                                       logprobs.top_logprobs, strict=True):
            self.assertLessEqual(logprob, 0)
            self.assertEqual(top[token], logprob)

    def test_logprobs_of_the_token_that_ends(self):
        answer = self.ask(logprobs=1)
        self.assertEqual(answer.choices[0].finish_reason, "stop")
        self.assertEqual(len(answer.choices[0].logprobs.tokens), answer.usage.completion_tokens)

    def test_logprobs_of_the_prompt(self):
        """As lm-eval reads them: all but the first token have one, and the last one is said."""
        for prompt in ("Say H", list(b"Say H")):
            raw = self.client.completions.with_raw_response.create(
                model="served", prompt=prompt, echo=True, logprobs=1, max_tokens=1)
            logprobs = raw.http_response.json()["choices"][0]["logprobs"]
            self.assertEqual(logprobs["tokens"], [*"Say H", "Hello"])
            self.assertEqual(logprobs["text_offset"], [0, 1, 2, 3, 4, 5])
            for values in (logprobs["token_logprobs"], logprobs["top_logprobs"]):
                self.assertEqual(len(values), 6)
                self.assertIsNone(values[0])
            for token, logprob, top in list(zip(logprobs["tokens"], logprobs["token_logprobs"],
                                                logprobs["top_logprobs"], strict=True))[1:]:
                self.assertLess(logprob, 1e-6)
                self.assertLessEqual(logprob, max(top.values()))
                self.assertEqual(top.get(token, logprob), logprob)

    def test_token_ids(self):
        choice = self.client.completions.create(
            model="served", prompt="Say H", extra_body={"return_token_ids": True}).choices[0]
        first = reciting_model.END + 1
        self.assertEqual(choice.prompt_token_ids, list(b"Say H"))
        self.assertEqual(choice.token_ids[:5], list(range(first, first + 5)))

    def test_stop_token_ids(self):
        """The token that ends an answer is a part of it, unless it is a special one."""
        stop = reciting_model.END + 3
        choice = self.ask(extra_body={"stop_token_ids": [stop]}).choices[0]
        self.assertEqual((choice.text, choice.finish_reason), ("Hello, world", "stop"))

    def test_what_is_not_offered(self):
        for options in ({"best_of": 3}, {"suffix": "!"}):
            with self.assertRaises(openai.BadRequestError) as caught:
                self.ask(**options)
            self.assertEqual(caught.exception.param, *options)

    def test_prompts_that_are_none(self):
        for prompt in ([], [[]], "", [1 << 40], [-1], [100_000]):
            with self.assertRaises(openai.BadRequestError) as caught:
                self.ask(prompt)
            self.assertEqual(caught.exception.param.split("[")[0], "prompt", prompt)


if __name__ == "__main__":
    unittest.main(verbosity=2)
