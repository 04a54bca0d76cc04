"""Chat completions through the official client, each answer and each event held to its types."""
import asyncio
import sys
import time
import unittest

sys.dont_write_bytecode = True
import serving  # noqa: E402
from serving import SECONDS  # noqa: E402
from strict import strict  # noqa: E402

import openai  # noqa: E402
import reciting_model  # noqa: E402

GREETING = ["Hello", ", wor", "ld", b" caf\xc3", b"\xa9!"]
TEXT = "Hello, world café!"
PIECES = len(GREETING) + 1  # and the end


def messages(cue):
    return [{"role": "user", "content": f"Say it: {cue}"}]


class Chat(serving.TestCase):
    @classmethod
    def model_file(cls):
        return reciting_model.model({"H": GREETING})

    def ask(self, cue="H", **options):
        return strict(self.client.chat.completions.create(
            model="served", messages=messages(cue), **options))

    def events(self, cue="H", **options):
        with self.client.chat.completions.create(
                model="served", messages=messages(cue), stream=True, **options) as stream:
            return [strict(event) for event in stream]

    def test_an_answer(self):
        answer = self.ask()
        self.assertEqual(answer.object, "chat.completion")
        self.assertEqual(answer.model, "served")
        self.assertLess(abs(answer.created - time.time()), SECONDS)
        self.assertTrue(answer.id.startswith("chatcmpl-"), answer.id)
        self.assertTrue(answer.system_fingerprint)
        (choice,) = answer.choices
        self.assertEqual(choice.message.role, "assistant")
        self.assertEqual(choice.message.content, TEXT)
        self.assertEqual(choice.finish_reason, "stop")
        self.assertIsNone(choice.message.tool_calls)
        self.assertIsNone(choice.logprobs)

    def test_usage(self):
        usage = self.ask().usage
        prompt = "<|start|>user: Say it: H<|end|><|start|>H"
        for special in ("<|start|>", "<|end|>"):
            prompt = prompt.replace(special, "#")
        self.assertEqual(usage.prompt_tokens, len(prompt))
        self.assertEqual(usage.completion_tokens, PIECES)
        self.assertEqual(usage.total_tokens, len(prompt) + PIECES)

    def test_a_prompt_seen_before_counts_as_cached(self):
        long = [{"role": "user", "content": "word " * 300 + "H"}]
        first, second = (
            strict(self.client.chat.completions.create(model="served", messages=long)).usage
            for _ in range(2))
        self.assertEqual(first.prompt_tokens_details.cached_tokens, 0)
        self.assertGreater(second.prompt_tokens_details.cached_tokens, 1000)

    def test_a_stream(self):
        events = self.events()
        self.assertEqual(len({event.id for event in events}), 1)
        self.assertEqual({event.object for event in events}, {"chat.completion.chunk"})
        self.assertEqual({event.model for event in events}, {"served"})
        self.assertTrue(all(event.system_fingerprint for event in events))
        self.assertTrue(all(event.usage is None for event in events))
        choices = [event.choices[0] for event in events]
        self.assertEqual(choices[0].delta.role, "assistant")
        self.assertTrue(all(choice.delta.role is None for choice in choices[1:]))
        self.assertEqual("".join(choice.delta.content or "" for choice in choices), TEXT)
        # A character whose bytes come in two tokens is told whole.
        self.assertFalse(any("\ufffd" in (choice.delta.content or "") for choice in choices))
        self.assertGreater(len(choices), 3)
        self.assertEqual([choice.finish_reason for choice in choices],
                         [None] * (len(choices) - 1) + ["stop"])

    def test_a_stream_with_usage(self):
        *events, last = self.events(stream_options={"include_usage": True})
        self.assertEqual(last.choices, [])
        expected = self.ask().usage
        self.assertEqual(last.usage.prompt_tokens, expected.prompt_tokens)
        self.assertEqual(last.usage.completion_tokens, expected.completion_tokens)
        self.assertTrue(all(event.usage is None for event in events))
        self.assertTrue(all(event.choices for event in events))

    def test_the_client_puts_a_stream_together(self):
        with self.client.chat.completions.stream(model="served", messages=messages("H")) as stream:
            kinds = [event.type for event in stream]
            answer = stream.get_final_completion()
        self.assertEqual(answer.choices[0].message.content, TEXT)
        self.assertIn("content.delta", kinds)
        self.assertEqual(kinds[-1], "content.done")

    def test_stop_strings(self):
        for stop in ("ld", ["no", "ld c"], [" caf", "zzz"]):
            choice = self.ask(stop=stop).choices[0]
            cut = min(TEXT.find(one) for one in ([stop] if isinstance(stop, str) else stop)
                      if one in TEXT)
            self.assertEqual((choice.message.content, choice.finish_reason), (TEXT[:cut], "stop"))
        events = self.events(stop="ld c")
        text = "".join(event.choices[0].delta.content or "" for event in events)
        self.assertEqual((text, events[-1].choices[0].finish_reason), ("Hello, wor", "stop"))

    def test_limits_of_length(self):
        for limit in ("max_tokens", "max_completion_tokens"):
            answer = self.ask(**{limit: 2})
            self.assertEqual(answer.choices[0].message.content, "Hello, wor")
            self.assertEqual(answer.choices[0].finish_reason, "length")
            self.assertEqual(answer.usage.completion_tokens, 2)

    def test_a_prediction_changes_nothing(self):
        for content in (TEXT, [{"type": "text", "text": TEXT}], "Something else"):
            answer = self.ask(prediction={"type": "content", "content": content})
            self.assertEqual(answer.choices[0].message.content, TEXT)
            details = answer.usage.completion_tokens_details
            self.assertLess(details.accepted_prediction_tokens, PIECES)
            self.assertGreaterEqual(details.rejected_prediction_tokens, 0)

    def test_several_choices(self):
        answer = self.ask(n=3)
        self.assertEqual([choice.index for choice in answer.choices], [0, 1, 2])
        self.assertEqual({choice.message.content for choice in answer.choices}, {TEXT})
        self.assertEqual(answer.usage.completion_tokens, 3 * PIECES)
        texts, roles, ends = ["", ""], [0, 0], [None, None]
        for event in self.events(n=2):
            for choice in event.choices:
                texts[choice.index] += choice.delta.content or ""
                roles[choice.index] += choice.delta.role is not None
                ends[choice.index] = choice.finish_reason or ends[choice.index]
        self.assertEqual((texts, roles, ends), ([TEXT] * 2, [1, 1], ["stop"] * 2))

    def check_logprobs(self, tokens, top):
        """`tokens` tell the whole text, each among the likeliest."""
        data = b"".join(bytes(token.bytes) for token in tokens)
        self.assertEqual(data.decode(), TEXT)
        for token in tokens:
            self.assertLessEqual(token.logprob, 0)
            self.assertGreater(token.logprob, -0.01)
            self.assertEqual(len(token.top_logprobs), top)
            falling = [one.logprob for one in token.top_logprobs]
            self.assertEqual(falling, sorted(falling, reverse=True))
            if top:
                self.assertEqual((token.top_logprobs[0].bytes, token.top_logprobs[0].logprob),
                                 (token.bytes, token.logprob))

    def test_logprobs(self):
        for top in (0, 3):
            logprobs = self.ask(logprobs=True, top_logprobs=top).choices[0].logprobs
            self.check_logprobs(logprobs.content, top)

    def test_logprobs_in_a_stream(self):
        tokens = []
        for event in self.events(logprobs=True, top_logprobs=2):
            if event.choices[0].logprobs:
                tokens += event.choices[0].logprobs.content or []
        self.check_logprobs(tokens, 2)

    def test_a_bias_on_a_token(self):
        first = reciting_model.END + 1
        answer = self.ask(max_tokens=1, temperature=0, logit_bias={str(first): -100})
        self.assertNotEqual(answer.choices[0].message.content, "Hello")

    def test_content_in_parts_and_other_roles(self):
        answer = strict(self.client.chat.completions.create(model="served", messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Say it", "name": "someone"},
            {"role": "assistant", "content": "What?"},
            {"role": "user", "content": [{"type": "text", "text": "Say"},
                                         {"type": "text", "text": " it: H"}]}]))
        self.assertEqual(answer.choices[0].message.content, TEXT)

    def test_fields_that_clients_send_along(self):
        answer = self.ask(user="someone", store=False, metadata={"a": "b"}, service_tier="auto",
                          extra_body={"a_field_of_tomorrow": {"x": [1]}})
        self.assertEqual(answer.choices[0].message.content, TEXT)

    def test_the_asynchronous_client(self):
        async def several():
            async with openai.AsyncOpenAI(base_url=f"{self.url}/v1", api_key="none",
                                          timeout=SECONDS, max_retries=0) as client:
                async def one():
                    stream = await client.chat.completions.create(
                        model="served", messages=messages("H"), stream=True)
                    return "".join([strict(event).choices[0].delta.content or ""
                                    async for event in stream])
                return await asyncio.gather(*(one() for _ in range(16)))
        self.assertEqual(asyncio.run(several()), [TEXT] * 16)


if __name__ == "__main__":
    unittest.main(verbosity=2)
