"""Tools through the official client: calls that the model writes in the form of its template, and
calls that are asked for."""
import json
import sys
import unittest

sys.dont_write_bytecode = True
import serving  # noqa: E402
from strict import strict  # noqa: E402

import openai  # noqa: E402
import pydantic  # noqa: E402
import reciting_model  # noqa: E402
from tool_templates import HERMES, LLAMA, MISTRAL  # noqa: E402

WEATHER = {"type": "function", "function": {
    "name": "get_weather", "description": "The weather somewhere.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}},
                   "required": ["city"], "additionalProperties": False}}}
TIME = {"type": "function", "function": {"name": "get_time"}}


class Tools:
    """What all forms have in common; the model's scripts: W one call, P two, H none."""

    def ask(self, cue, tools=(WEATHER, TIME), **options):
        return self.client.chat.completions.create(
            model="served", messages=[{"role": "user", "content": f"Do it: {cue}"}],
            tools=list(tools), **options)

    def answer(self, cue, **options):
        return strict(self.ask(cue, **options)).choices[0]

    def deltas(self, cue, **options):
        with self.ask(cue, stream=True, **options) as stream:
            return [strict(event).choices[0] for event in stream]

    def check_call(self, call, name, arguments):
        self.assertEqual((call.type, call.function.name), ("function", name))
        self.assertEqual(json.loads(call.function.arguments), arguments)
        self.assertTrue(call.id)

    def test_a_call(self):
        choice = self.answer("W")
        self.assertEqual(choice.finish_reason, "tool_calls")
        self.assertFalse(choice.message.content)
        (call,) = choice.message.tool_calls
        self.check_call(call, "get_weather", {"city": "Paris"})

    def test_calls_in_parallel(self):
        calls = self.answer("P").message.tool_calls
        self.assertEqual(len(calls), 2)
        self.check_call(calls[0], "get_weather", {"city": "Oslo"})
        self.check_call(calls[1], "get_time", {})
        self.assertNotEqual(calls[0].id, calls[1].id)

    def test_calls_in_a_stream(self):
        for cue in "WP":
            choices = self.deltas(cue)
            calls = {}
            for choice in choices:
                for delta in choice.delta.tool_calls or []:
                    first = delta.index not in calls
                    call = calls.setdefault(delta.index, {"arguments": ""})
                    # Name, kind and id come once, with a call's first piece.
                    self.assertEqual(bool(delta.id), first)
                    self.assertEqual(bool(delta.function.name), first)
                    if first:
                        self.assertEqual(delta.type, "function")
                        call.update(id=delta.id, name=delta.function.name)
                    call["arguments"] += delta.function.arguments or ""
            whole = self.answer(cue).message.tool_calls
            self.assertEqual(sorted(calls), list(range(len(whole))))
            for index, call in enumerate(whole):
                self.assertEqual(calls[index]["name"], call.function.name)
                self.assertEqual(json.loads(calls[index]["arguments"]),
                                 json.loads(call.function.arguments))
            self.assertEqual(choices[-1].finish_reason, "tool_calls")
            self.assertEqual("".join(choice.delta.content or "" for choice in choices), "")

    def test_an_answer_without_a_call(self):
        choice = self.answer("H")
        self.assertEqual(choice.finish_reason, "stop")
        self.assertEqual(choice.message.content, "Nothing to do.")
        self.assertIsNone(choice.message.tool_calls)
        text = "".join(choice.delta.content or "" for choice in self.deltas("H"))
        self.assertEqual(text, "Nothing to do.")

    def test_no_call_where_none_may_be(self):
        choice = self.answer("W", tool_choice="none")
        self.assertIsNone(choice.message.tool_calls)
        self.assertEqual(choice.finish_reason, "stop")

    def test_one_call_at_a_time(self):
        named = {"type": "function", "function": {"name": "get_weather"}}
        for form in ({"parallel_tool_calls": False}, {"tool_choice": named}):
            calls = self.answer("P", **form).message.tool_calls
            self.assertEqual([call.function.name for call in calls], ["get_weather"])

    def test_a_call_that_must_be(self):
        for tool_choice in ("required", {"type": "function", "function": {"name": "get_weather"}}):
            choice = self.answer("W", tool_choice=tool_choice)
            self.check_call(choice.message.tool_calls[0], "get_weather", {"city": "Paris"})

    def test_what_came_of_a_call(self):
        call = self.answer("W").message.tool_calls[0]
        answer = strict(self.client.chat.completions.create(
            model="served", tools=[WEATHER], messages=[
                {"role": "user", "content": "Do it: W"},
                {"role": "assistant", "tool_calls": [call.to_dict()]},
                {"role": "tool", "tool_call_id": call.id, "content": "Sunny. H"}]))
        self.assertEqual(answer.choices[0].message.content, "Nothing to do.")

    def test_the_client_reads_arguments(self):
        class get_weather(pydantic.BaseModel):  # noqa: N801 (the tool is called after it)
            city: str

        choice = self.client.chat.completions.parse(
            model="served", messages=[{"role": "user", "content": "Do it: W"}],
            tools=[openai.pydantic_function_tool(get_weather)]).choices[0]
        call = choice.message.tool_calls[0]
        self.assertEqual(call.function.parsed_arguments, get_weather(city="Paris"))

    def test_tools_that_are_none(self):
        for tools, tool_choice in (
            ([{"type": "function", "function": {}}], "auto"),
            ([{"type": "magic"}], "auto"),
            ([WEATHER], {"type": "function", "function": {"name": "get_rain"}}),
            ([WEATHER], "perhaps"),
            ([], "required"),
        ):
            with self.assertRaises(openai.BadRequestError):
                self.ask("W", tools=tools, tool_choice=tool_choice)


class Hermes(Tools, serving.TestCase):
    @classmethod
    def model_file(cls):
        return reciting_model.model({
            "H": ["Nothing", " to do."],
            "W": ["<tool_", 'call>\n{"na', 'me": "get_wea', 'ther", "arguments": {"city": "Par',
                  'is"}', "}\n</tool", "_call>"],
            "P": ['<tool_call>\n{"name": "get_weather", "argu', 'ments": {"city": "Oslo"}}', "\n</",
                  'tool_call>\n<tool_call>\n{"name": "get_time", ', '"arguments": {}}\n</tool_call>'],
        }, HERMES)


class Llama(Tools, serving.TestCase):
    @classmethod
    def model_file(cls):
        return reciting_model.model({
            "H": ["Nothing", " to do."],
            "W": ['{"na', 'me": "get_wea', 'ther", "parameters": {"city": "Par', 'is"', "}}"],
            "P": ['{"name": "get_weather", "para', 'meters": {"city": "Oslo"}}; ',
                  '{"name": "get_time", ', '"parameters": {}}'],
        }, LLAMA)


class Mistral(Tools, serving.TestCase):
    @classmethod
    def model_file(cls):
        return reciting_model.model({
            "H": ["Nothing", " to do."],
            "W": ["[TOOL", '_CALLS][{"na', 'me": "get_wea', 'ther", "arguments": {"city": "Par', 'is"',
                  "}}]"],
            "P": ['[TOOL_CALLS][{"name": "get_weather", "argu', 'ments": {"city": "Oslo"}}, ',
                  '{"name": "get_time", ', '"arguments": {}}]'],
        }, MISTRAL)


if __name__ == "__main__":
    unittest.main(verbosity=2)
