"""Answers held to a form, through the official client: JSON, a schema, a class of pydantic's, and our
own regular expressions and grammars."""
import enum
import json
import re
import sys
import unittest

sys.dont_write_bytecode = True
import serving  # noqa: E402
from strict import strict  # noqa: E402

import openai  # noqa: E402
import pydantic  # noqa: E402

MESSAGES = [{"role": "user", "content": "Describe Rome as JSON."}]


class Size(str, enum.Enum):
    SMALL, LARGE = "small", "large"


class Place(pydantic.BaseModel):
    name: str = pydantic.Field(max_length=12)
    size: Size
    sights: list[int] = pydantic.Field(max_length=3)


class Structured(serving.SmolLm2):
    def ask(self, **options):
        return strict(self.client.chat.completions.create(
            model="served", messages=MESSAGES, **{"max_tokens": 300, "temperature": 0, **options}))

    def test_a_class(self):
        choice = self.client.chat.completions.parse(
            model="served", messages=MESSAGES, response_format=Place, max_tokens=300,
            temperature=0).choices[0]
        self.assertIsInstance(choice.message.parsed, Place)
        self.assertEqual(choice.finish_reason, "stop")

    def test_a_class_in_a_stream(self):
        with self.client.chat.completions.stream(
                model="served", messages=MESSAGES, response_format=Place, max_tokens=300,
                temperature=0) as stream:
            snapshots = [event.parsed for event in stream if event.type == "content.delta"]
            parsed = stream.get_final_completion().choices[0].message.parsed
        self.assertIsInstance(parsed, Place)
        self.assertGreater(len(snapshots), 3)

    def test_a_schema(self):
        schema = {"type": "object", "properties": {"answer": {"type": "boolean"}},
                  "required": ["answer"], "additionalProperties": False}
        for options in ({}, {"temperature": 1.0, "seed": 3}, {"n": 2, "temperature": 1.0}):
            answer = self.ask(response_format={
                "type": "json_schema",
                "json_schema": {"name": "answer", "strict": True, "schema": schema}}, **options)
            for choice in answer.choices:
                self.assertIsInstance(json.loads(choice.message.content)["answer"], bool)
                self.assertEqual(choice.finish_reason, "stop")

    def test_any_object(self):
        choice = self.ask(response_format={"type": "json_object"}, max_tokens=300).choices[0]
        if choice.finish_reason == "stop":
            self.assertIsInstance(json.loads(choice.message.content), dict)
        else:
            self.assertTrue(choice.message.content.lstrip().startswith("{"))

    def test_text_is_text(self):
        self.assertTrue(self.ask(response_format={"type": "text"}).choices[0].message.content)

    def test_a_regular_expression(self):
        answer = self.ask(extra_body={"regex": r"[A-Z][a-z]{2,5}: [0-9]{4}"}).choices[0]
        self.assertTrue(re.fullmatch(r"[A-Z][a-z]{2,5}: [0-9]{4}", answer.message.content))

    def test_a_grammar(self):
        answer = self.ask(extra_body={"grammar": 'start: ("red" | "blue") " " ("ball" | "box")'})
        self.assertRegex(answer.choices[0].message.content, "^(red|blue) (ball|box)$")

    def test_forms_that_are_none(self):
        for options in (
            {"response_format": {"type": "xml"}},
            {"response_format": {"type": "json_schema"}},
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": 3}}},
            {"extra_body": {"regex": "("}},
            {"extra_body": {"grammar": "start: nothing"}},
        ):
            with self.assertRaises(openai.BadRequestError) as caught:
                self.ask(**options)
            self.assertTrue(caught.exception.param, caught.exception)


if __name__ == "__main__":
    unittest.main(verbosity=2)
