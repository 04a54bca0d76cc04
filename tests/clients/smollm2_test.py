"""What only a model with something to choose from, and with something to do, shows."""
import json
import sys
import time
import unittest

sys.dont_write_bytecode = True
import scraped  # noqa: E402
import serving  # noqa: E402
from strict import strict  # noqa: E402

import openai  # noqa: E402
from tool_templates import HERMES, for_smollm2  # noqa: E402

WEATHER = {"type": "function", "function": {
    "name": "get_weather", "description": "The weather somewhere.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string", "maxLength": 20}},
                   "required": ["city"], "additionalProperties": False}}}
MESSAGES = [{"role": "user", "content": "Tell me a story."}]


class Sampling(serving.SmolLm2):
    def ask(self, **options):
        return strict(self.client.chat.completions.create(
            model="served", messages=MESSAGES,
            **{"max_tokens": 24, "temperature": 1.0, **options}))

    def texts(self, **options):
        return [choice.message.content for choice in self.ask(**options).choices]

    def test_a_seed_gives_the_same_again(self):
        self.assertEqual(self.texts(seed=7), self.texts(seed=7))
        self.assertNotEqual(self.texts(seed=7), self.texts(seed=8))

    def test_choices_differ(self):
        self.assertEqual(len(set(self.texts(n=4, seed=7))), 4)

    def test_sampling_parameters_are_taken(self):
        likeliest = self.texts(temperature=0)
        self.assertEqual(self.texts(extra_body={"top_k": 1}), likeliest)
        self.assertEqual(self.texts(top_p=1e-6), likeliest)
        self.assertEqual(self.texts(extra_body={"min_p": 1.0}), likeliest)
        self.assertNotEqual(
            self.texts(temperature=0, max_tokens=80, frequency_penalty=2, presence_penalty=2),
            self.texts(temperature=0, max_tokens=80))

    def test_answers_end_by_length(self):
        answer = self.ask(max_tokens=5)
        self.assertEqual(answer.choices[0].finish_reason, "length")
        self.assertEqual(answer.usage.completion_tokens, 5)


class Tools(serving.SmolLm2):
    """A model that would not call of itself does when it must."""

    @classmethod
    def model(cls):
        name = super().model()
        template = cls.folder / "template.jinja"
        template.write_text(for_smollm2(HERMES))
        cls.options = ("--chat-template", template)
        return name

    def test_a_call_that_must_be(self):
        for tool_choice in ("required", {"type": "function", "function": {"name": "get_weather"}}):
            choice = strict(self.client.chat.completions.create(
                model="served", tools=[WEATHER], tool_choice=tool_choice, max_tokens=100,
                temperature=0, parallel_tool_calls=False, messages=[{"role": "user", "content": "What is the weather in Rome?"}],
            )).choices[0]
            (call, *_) = choice.message.tool_calls
            self.assertEqual(call.function.name, "get_weather")
            self.assertEqual(list(json.loads(call.function.arguments)), ["city"])
            self.assertEqual(choice.finish_reason, "tool_calls")


class Overload(serving.SmolLm2):
    """One answer at a time, and nobody waits."""

    options = ("--max-sequences", 1, "--max-waiting", 0)

    def long_answer(self):
        return self.client.chat.completions.create(
            model="served", messages=MESSAGES, max_tokens=4000, stream=True,
            extra_body={"ignore_eos": True})

    def until_idle(self):
        end = time.monotonic() + serving.SECONDS
        while time.monotonic() < end:
            figures = scraped.samples(self.server)
            if not figures["vllm:num_requests_running"] + figures["vllm:num_requests_waiting"]:
                return figures
            time.sleep(0.05)
        raise AssertionError("the answer that nobody reads goes on")

    def test_a_full_server_says_when_to_come_back(self):
        with self.long_answer() as stream:
            next(iter(stream))
            with self.assertRaises(openai.RateLimitError) as caught:
                self.client.chat.completions.create(model="served", messages=MESSAGES)
        self.assertGreater(int(caught.exception.response.headers["Retry-After"]), 0)
        self.until_idle()

    def test_a_closed_stream_ends_the_answer(self):
        before = self.until_idle()
        with self.long_answer() as stream:
            events = iter(stream)
            for _ in range(5):
                next(events)
            self.assertEqual(scraped.samples(self.server)["vllm:num_requests_running"], 1)
        after = self.until_idle()
        self.assertLess(
            after["vllm:generation_tokens_total"] - before["vllm:generation_tokens_total"], 3000)
        answer = self.client.chat.completions.create(
            model="served", messages=MESSAGES, max_tokens=2)
        self.assertEqual(answer.usage.completion_tokens, 2)


if __name__ == "__main__":
    unittest.main(verbosity=2)
