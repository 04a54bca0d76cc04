"""`forerun serve` given bombs: grammars, schemas, templates, conversations and prompts made to burn
time or memory."""
import json
import sys
import time
import unittest

sys.dont_write_bytecode = True
import server_process  # noqa: E402

MESSAGE = {"role": "user", "content": "a"}


def nested(levels, inner, wrap):
    for _ in range(levels):
        inner = wrap(inner)
    return inner


def schema(inner):
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": inner}}}


def array_of(inner):
    return {"type": "array", "items": inner}


def alternatives(inner):
    return {"anyOf": [inner, inner]}


STRING = {"type": "string"}
GRAMMARS = {
    "repeated without end": {"regex": nested(20, "a", lambda inner: f"({inner})*")},
    "many repeated": {"regex": "a{1000000}"},
    "many of many": {"regex": "((a{1000}){1000}){1000}"},
    "alternatives of alternatives": {"regex": nested(18, "a", lambda inner: f"({inner}|{inner})")},
    "parentheses": {"regex": "(" * 100_000 + ")" * 100_000},
    "a long regex": {"regex": "a|" * 200_000 + "a"},
    "classes": {"regex": "[\\p{L}\\p{N}]{1,500}" * 50},
    "backtracking": {"regex": "(a+)+(b+)+(.*)*(.*)*(.*)*$"},
    "look-ahead": {"regex": "(?=a)(?!b)a"},
    "back-reference": {"regex": "(a)\\1"},
    "deep schema": schema(nested(20, STRING, array_of)),
    "very deep schema": '{"prompt":"a","max_tokens":2,"response_format":{"type":"json_schema",'
                        '"json_schema":{"name":"x","schema":%s{"type":"string"}%s}}}'
                        % ('{"type":"array","items":' * 5000, "}" * 5000),
    "exponential schema": schema(nested(12, STRING, alternatives)),
    "all of": schema({"allOf": [{"type": "object", "properties": {str(i): STRING}} for i in range(300)]}),
    "many properties": schema({"type": "object", "required": [str(i) for i in range(5000)],
                               "properties": {str(i): STRING for i in range(5000)}}),
    "many enumerated": schema({"enum": [f"value {i}" * 5 for i in range(20_000)]}),
    "huge counts": schema({"type": "array", "items": STRING, "minItems": 10**9, "maxItems": 10**18}),
    "huge lengths": schema({"type": "string", "minLength": 10**9, "maxLength": 10**9}),
    "numbers without room": schema({"type": "integer", "minimum": 5, "maximum": 4}),
    "huge numbers": schema({"type": "integer", "minimum": -1e308, "maximum": 1e308}),
    "counts below none": schema({"type": "array", "minItems": -5, "maxItems": -6}),
    "a pattern": schema({"type": "string", "pattern": "((a{100}){100}){100}"}),
    "no pattern": schema({"type": "string", "pattern": "((("}),
    "itself": schema({"$ref": "#"}),
    "itself in turns": schema({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"},
                                                               "b": {"$ref": "#/$defs/a"}}}),
    "defined by itself": schema({"$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}, STRING]}},
                                 "$ref": "#/$defs/a"}),
    "elsewhere": schema({"$ref": "http://127.0.0.1:1/schema.json"}),
    "in a file": schema({"$ref": "file:///etc/passwd"}),
    "missing": schema({"$ref": "#/$defs/nope"}),
    "false": schema(False),
    "lark: itself": {"grammar": "start: start"},
    "lark: nothing repeated": {"grammar": "start: (\"\")*"},
    "lark: nothing often": {"grammar": 'start: a*\na: b*\nb: ""'},
    "lark: many": {"grammar": "start: A{100000}\nA: /a{1000}/"},
    "lark: rules": {"grammar": "start: r0\n" + "".join(f"r{i}: r{i + 1} r{i + 1}\n" for i in range(40))
                               + 'r40: "a"'},
    "lark: long": {"grammar": "start: " + "|".join(f'"{i}"' for i in range(50_000))},
    "lark: deep": {"grammar": "start: " + "(" * 20_000 + '"a"' + ")" * 20_000},
    "lark: import": {"grammar": "%import common.WORD\nstart: WORD"},
    "lark: import a file": {"grammar": '%import "/etc/passwd"\nstart: "a"'},
    "lark: json in it": {"grammar": 'start: %json {"type":"array","minItems":1000000}'},
}


class Grammars(server_process.TestCase):
    options = ("--max-body-bytes", 32 << 20)

    def test_each_is_answered_or_refused(self):
        for name, fields in GRAMMARS.items():
            with self.subTest(name):
                body = fields if isinstance(fields, str) else {"prompt": "a", "max_tokens": 2, **fields}
                begin = time.monotonic()
                answer = self.server.post("/v1/completions", body)
                self.assertIn(answer.status, (200, 400), answer)
                if answer.status == 400:
                    self.assertRegex(answer.error(), "response_format|regex|grammar|JSON|nest|deep")
                self.assertLess(time.monotonic() - begin, 20, "it burns a worker")
                self.assertTrue(self.server.lives(), self.server.text())
        # Bombs must not use up what grammars of others need.
        answer = self.server.post("/v1/completions", {"prompt": "a", "max_tokens": 5, "regex": "[xy]+"})
        self.assertEqual(answer.status, 200, answer)
        self.assertRegex(answer.json()["choices"][0]["text"], "^[xy]+$")

    def test_tools_that_are_bombs(self):
        for parameters in (nested(15, STRING, array_of), nested(12, STRING, alternatives), {"$ref": "#"},
                           {"type": "object", "properties": {str(i): STRING for i in range(3000)}}):
            answer = self.server.post("/v1/chat/completions", {
                "messages": [MESSAGE], "max_tokens": 2, "tool_choice": "required",
                "tools": [{"type": "function", "function": {"name": "f", "parameters": parameters}}]})
            self.assertIn(answer.status, (200, 400), answer)
        tool = {"type": "function", "function": {"name": "f" * 1000}}
        answer = self.server.post("/v1/chat/completions", {"messages": [MESSAGE], "tools": [tool] * 5000})
        self.assert_refused(answer, "tools", "messages", "prompt")

    def test_many_grammars_leave_no_trace(self):
        def send(first):
            for i in range(first, first + 150):
                body = {"prompt": "a", "max_tokens": 1, "regex": f"{'x' * 500}{i}"}
                self.assertEqual(self.server.post("/v1/completions", body).status, 200)
            return self.server.rss_anon_bytes()

        send(0)
        settled = send(1000)
        self.assertLess(send(2000) - settled, 64 << 20, "a cache without a bound")


TEMPLATES = {
    "loops": "{% for i in range(99999) %}{% for j in range(99999) %}{% for k in range(99999) %}{{ i * j }}"
             "{% endfor %}{% endfor %}{% endfor %}",
    "output": "{% for i in range(99999) %}{{ 'x' * 99999 }}{% endfor %}",
    "recursion": "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}",
    "doubling": "{% set ns = namespace(s='xxxxxxxx') %}{% for i in range(64) %}"
                "{% set ns.s = ns.s + ns.s %}{% endfor %}{{ ns.s }}",
    "powers": "{{ 9 ** 999999999 }}",
    "range": "{{ range(10 ** 18) | list | length }}",
    "the host": "{{ messages.__class__.__mro__[1].__subclasses__() }}",
    "a file": "{% include '/etc/passwd' %}",
    "what the client says": "{{ a.b.c.d.e }}",
}


class Templates(server_process.TestCase):
    options = None

    def test_a_template_that_is_a_bomb_ends_its_own_requests_only(self):
        for name, template in TEMPLATES.items():
            with self.subTest(name):
                path = self.model.with_name("template.jinja")
                path.write_text(template)
                try:
                    server = self.start("--chat-template", path)
                except AssertionError as refused:  # at the start, with a sentence
                    self.assertIn("template", str(refused))
                    continue
                for _ in range(3):
                    answer = server.post("/v1/chat/completions", {"messages": [MESSAGE], "max_tokens": 1})
                    self.assert_refused(answer)
                self.assert_serves(server)
                server.stop()


class Conversations(server_process.TestCase):
    options = ("--max-body-bytes", 64 << 20)

    def chat(self, body):
        return self.server.post("/v1/chat/completions", body)

    def test_many_messages(self):
        self.assert_refused(self.chat({"messages": [MESSAGE] * 100_000}), "messages")
        self.assert_refused(self.chat({"messages": [{"role": "user", "content": ""}] * 100_000}), "messages")

    def test_many_parts(self):
        parts = [{"type": "text", "text": "a"}] * 100_000
        self.assert_refused(self.chat({"messages": [{"role": "user", "content": parts}]}), "messages")

    def test_long_texts(self):
        self.assert_refused(self.chat({"messages": [{"role": "user", "content": "a" * 20_000_000}]}))
        self.assert_refused(self.chat({"messages": [{"role": "r" * 1_000_000, "content": "a"}]}))

    def test_arguments_of_the_template(self):
        deep = json.loads("[" * 40 + "]" * 40)
        for value in ({"a": deep}, {"a": [1] * 100_000}, {"messages": []}, {"messages": 5},
                      {"add_generation_prompt": False}, {"a" * 100_000: 1}, {"tools": [1]}, {"": ""},
                      {str(i): i for i in range(50_000)}, {"raise_exception": 1, "range": 1},
                      {"bos_token": "x" * 100_000}):
            with self.subTest(list(value)[0][:20]):
                answer = self.chat({"messages": [MESSAGE], "max_tokens": 1, "chat_template_kwargs": value})
                self.assertIn(answer.status, (200, 400), answer)

    def test_prompts_longer_than_the_context(self):
        for prompt in ("a" * 256, "a" * 5_000_000, [97] * 256, [97] * 5_000_000, ["a", "a" * 256]):
            for more in ({}, {"stream": True}, {"echo": True, "logprobs": 1, "max_tokens": 0}):
                answer = self.server.post("/v1/completions", {"prompt": prompt, **more})
                if len(prompt) > 256 or not more.get("echo"):
                    self.assert_refused(answer, "prompt", "values")
        self.assert_refused(self.server.post("/generate", {"text": "a" * 256}), "text", "prompt")
        self.assert_refused(self.server.post("/generate", {"input_ids": [97] * 256}), "input_ids", "prompt")
        self.assert_refused(self.chat({"messages": [{"role": "user", "content": "a" * 256}]}), "messages")

    def test_a_prompt_that_just_fits(self):
        answer = self.server.post("/v1/completions", {"prompt": [97] * 255, "ignore_eos": True})
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.json()["usage"]["completion_tokens"], 1)

    def test_more_choices_than_may_wait(self):
        for prompts, n in ((1000, 128), (100_000, 1), (128, 128)):
            answer = self.server.post("/v1/completions", {"prompt": ["a"] * prompts, "n": n})
            self.assertIn(answer.status, (400, 429), answer)
            self.assertTrue(answer.error())


if __name__ == "__main__":
    unittest.main()
