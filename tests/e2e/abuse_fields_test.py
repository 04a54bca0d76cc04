"""`forerun serve` given every field with values that it cannot have, and some that it can."""
import json
import random
import sys
import unittest

sys.dont_write_bytecode = True
import server_process  # noqa: E402

# Fields: (JSON of legal values, JSON of values that are refused by the field's name, JSON of values
# that may be either). The model has 320 tokens. 4294967297 is 1 in 32 bits, 18446744073709551617 in 64.
WRAPS_TO_1 = ["4294967297", "18446744073709551617"]
NO_NUMBER = ['"1"', '"x"', "[]", "[1]", "{}", "true", "false"]
NO_INTEGER = [*NO_NUMBER, "1.5", "1e300", "9223372036854775808", "18446744073709551616",
              "-9223372036854775809", "-170141183460469231731687303715884105728", *WRAPS_TO_1[1:]]
NO_FLAG = ["1", "0", '"true"', "[]", "{}"]
NO_TEXT = ["5", "[]", "{}", "true"]
IDS = ["[-1]", "[320]", "[4294967301]", "[9223372036854775808]", "[1.5]", "[true]", "[null]"]

SAMPLING = {
    "temperature": (["0", "0.5", "2", "null", "1e-30"],
                    [*NO_NUMBER, "-0.1", "-1", "1e3", "1e39", "1e300", "-1e300"], ["-0.0"]),
    "top_p": (["0.5", "1", "null"], [*NO_NUMBER, "-0.1", "1.1", "1e39", "1e300", "-1e300"], ["0"]),
    "min_p": (["0", "0.5", "null"], [*NO_NUMBER, "-0.1", "1.1", "1e39", "1e300"], []),
    "top_k": (["0", "-1", "5", "400", "null"], [*NO_INTEGER, "-2"], ["2147483648", WRAPS_TO_1[0]]),
    "frequency_penalty": (["-2", "0", "2", "null"], [*NO_NUMBER, "2.1", "-2.1", "1e39"], []),
    "presence_penalty": (["-2", "0", "2", "null"], [*NO_NUMBER, "2.1", "-2.1", "1e39"], []),
    "repetition_penalty": (["0.5", "1", "1.3", "null"], [*NO_NUMBER, "0", "-1", "1e39"], []),
    "n": (["1", "3", "null"], [*NO_INTEGER, "0", "-1", "129", "2147483648", WRAPS_TO_1[0]], []),
    "stop": (['"x"', '["x","y"]', "null", "[]"],
             ["5", "{}", "true", "[5]", "[null]", '["x",5]', '["a",["b"]]',
              json.dumps(["x"] * 5000), json.dumps("x" * 100_000)], ['""', '[""]']),
    "stop_token_ids": (["[]", "[5]", "null"], ["5", '"5"', "{}", "true", '["5"]', "[[5]]", *IDS,
                                               json.dumps([5] * 100_000)], []),
    "ignore_eos": (["true", "false", "null"], NO_FLAG, []),
}
LOGIT_BIAS = (["{}", '{"5":1}', '{"5":-100,"6":100}', "null"],
              ["5", '"5"', "true", '{"5":"x"}', '{"5":101}', '{"5":-101}', '{"5":1e300}', '{"5":[]}',
               '{"5":true}', '{"a":1}', '{"-1":1}', '{"320":1}', '{"4294967301":1}', '{"5.5":1}',
               '{"99999999999999999999":1}', '{"":1}', '{" 5":1}', '{"0x5":1}', '{"5":null}'],
              ["[]"])
SEED = (["0", "9007199254740993", "null"], ["1.5", "1e300", '"1"', "[]", "{}", "true",
                                             "18446744073709551616", "-9223372036854775809"],
        ["-1", "9223372036854775807", "9223372036854775808", "18446744073709551615"])
MAX_TOKENS = (["1", "2", "null"], [*NO_INTEGER, "-1", "-9223372036854775808"],
              ["0", "9007199254740993", "9223372036854775807", WRAPS_TO_1[0]])
OPENAI = {
    "logit_bias": LOGIT_BIAS,
    "seed": SEED,
    "max_tokens": MAX_TOKENS,
    "stream": (["false", "null"], NO_FLAG, []),
    "stream_options": (["null"], ["5", '"x"', "true"], ["[]", "{}", '{"include_usage":5}']),
    "model": (['"tiny"'], ["5", "[]", "{}", "true"], ["null", '""']),
    "user": (['"me"', "null"], [], ["5", "[]", "{}"]),
    "store": (["true", "false", "null"], ["5", '"x"', "[]"], []),
    "prediction": (
        ["null", '{"type":"content","content":"x"}', '{"content":""}',
         '{"content":[{"type":"text","text":"a"},{"text":"b"}]}', '{"content":[]}',
         json.dumps({"content": "x" * 100_000})],
        ["5", '"x"', "[]", "true", "{}", '{"content":null}', '{"content":5}', '{"content":[5]}',
         '{"content":[{}]}', '{"content":[{"text":5}]}', json.dumps({"content": [{"text": ""}] * 1025})],
        []),
    "metadata": (["null", '{"a":"b"}'], [], ["5", "[]", '"x"']),
    "return_token_ids": (["true", "false", "null"], NO_FLAG, []),
    "response_format": (
        ["null", '{"type":"text"}', '{"type":"json_object"}'],
        ["5", '"json_object"', "true", "{}", '{"type":5}', '{"type":"nope"}', '{"type":null}',
         '{"type":"json_schema"}', '{"type":"json_schema","json_schema":5}',
         '{"type":"json_schema","json_schema":{"schema":5}}',
         '{"type":"json_schema","json_schema":{"name":"x","schema":{"type":"nope"}}}'],
        ["[]", '{"type":"json_schema","json_schema":{"name":"x"}}',
         '{"type":"json_schema","json_schema":{"name":"x","schema":{}}}']),
    "regex": (["null", '"[ab]*"'], ["5", "[]", "{}", "true", '"("', '"*"', '"[b-a]"', '"a{2,1}"'],
              ['""', '"a**"']),
    "grammar": (["null", '"start: /[ab]+/"'], ["5", "[]", "{}", "true", '"((("', '"start: nope"'],
                ['""']),
}
COMPLETIONS = {
    **SAMPLING, **OPENAI,
    "prompt": (['"a"', "[97]", '["a","b"]', "[[97],[98,99]]"],
               ["5", "{}", "true", "null", "[]", '""', '[""]', "[[]]", '[["a"]]', '["a",97]',
                '[97,"a"]', '[[97],"a"]', "[[[97]]]", '[{}]', json.dumps([97] * 300),
                json.dumps("a" * 300), json.dumps(["a"] * 100_000), *IDS, "[[97],[-1]]"], []),
    "logprobs": (["0", "5", "null"], [*NO_INTEGER, "-1", "21", WRAPS_TO_1[0]], []),
    "echo": (["true", "false", "null"], NO_FLAG, []),
    "best_of": (["null"], ["2", '"x"', "-1", "[]"], ["1"]),
    "suffix": (["null"], ["5", "[]"], ['"x"', '""']),
}
TEXT = '[{"role":"user","content":%s}]'
TOOL = '[{"type":"function","function":%s}]'
CHAT = {
    **SAMPLING, **OPENAI,
    "messages": (
        [TEXT % '"a"', TEXT % '[{"type":"text","text":"a"},{"type":"text","text":"b"}]',
         '[{"role":"system","content":"a"},{"role":"user","content":"b"}]'],
        ["5", '"a"', "{}", "null", "true", "[]", "[5]", "[null]", "[[]]", "[{}]",
         '[{"content":"a"}]', '[{"role":5,"content":"a"}]', '[{"role":"user","content":5}]',
         '[{"role":"user","content":{}}]', '[{"role":"user","content":[5]}]',
         '[{"role":"user","content":[{"type":"text"}]}]',
         '[{"role":"user","content":[{"type":"text","text":5}]}]',
         '[{"role":"user","content":[{"type":"image_url","image_url":{"url":"file:///etc/passwd"}}]}]',
         '[{"role":"assistant","tool_calls":5}]', '[{"role":"assistant","tool_calls":[5]}]',
         TEXT % json.dumps("a" * 300)],
        ['[{"role":"user"}]', '[{"role":"user","content":null}]', '[{"role":"user","content":[]}]',
         '[{"role":"nobody","content":"a"}]', '[{"role":"","content":"a"}]',
         '[{"role":"tool","content":"a","tool_call_id":5}]']),
    "max_completion_tokens": MAX_TOKENS,
    "logprobs": (["true", "false", "null"], ['"x"', "[]", "{}"], ["5", "1", "0"]),
    "tools": (["null", "[]"],
              ["5", '"x"', "true", "[5]", "[null]", "[{}]", '[{"type":"function"}]', TOOL % "5",
               TOOL % "{}", TOOL % '{"name":5}', TOOL % '{"name":"f","parameters":5}'],
              ["{}", TOOL % '{"name":"f","parameters":{"type":"object","properties":{}}}']),
    "tool_choice": (["null"], ["5", '"nope"', "true", '{"type":"function"}',
                               '{"type":"function","function":{"name":"absent"}}'],
                    ["[]", "{}", '"auto"', '"required"', '"none"']),
    "parallel_tool_calls": (["true", "false", "null"], ["5", '"x"', "[]"], []),
    "chat_template_kwargs": (["{}", "null", '{"a":1}'], ["5", '"x"', "true"], ["[]"]),
    "reasoning_effort": (["null"], ["5", "[]", "true"], ['"low"', '"nope"', "{}"]),
}
TOP_LOGPROBS = (["0", "5", "null"], [*NO_INTEGER, "-1", "21", WRAPS_TO_1[0]], [])
GENERATE = {
    "text": (['"a"'], ["5", "{}", "true", "[5]", '""'], ["null", "[]", '["a"]']),
    "input_ids": (["[97]"], ["5", '"a"', "{}", '["a"]', *IDS, json.dumps([97] * 300)],
                  ["[]", "[[97]]"]),
    "sampling_params": (["{}", "null"], ["5", '"x"', "true"], ["[]"]),
    "return_logprob": (["true", "false", "null"], ['"x"', "{}"], ["1", "0", "[]"]),
    "stream": (["false", "null"], ['"x"', "[]", "{}"], ["1", "0"]),
    "rid": (['"r"', "null"], ["5", "{}", "true"], ['""', "[]"]),
}
# What interfaces.md calls NaN and infinity is no JSON: the error cannot always name the field.
NO_JSON = ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "0x10", "+1", "01", ".5", "1.", "'a'",
           "undefined", "", "tru", '"a', '"\\x"', '"\\ud800"', '"\x01"', "[1,]", '{"a":1,}', "1 2"]


def body_with(base, field, value):
    """The JSON of `base` with the field as it is written in `value`, at the end: of a field given
    twice the last counts. "a.b" is b of a."""
    outer, _, inner = field.rpartition(".")
    fields = {name: json.dumps(content) for name, content in base.items() if name != field}
    fields[outer or inner] = f'{{"{inner}":{value}}}' if outer else value
    return "{" + ",".join(f'"{name}":{content}' for name, content in fields.items()) + "}"


class Fields(server_process.TestCase):
    def setUp(self):
        self.connection = self.server.connect()
        self.addCleanup(lambda: self.connection.socket.close())

    def answer(self, path, body):
        """Over one connection for them all, which the server may close after a refusal."""
        self.assertTrue(self.server.lives(), self.server.text())
        try:
            self.connection.send_request("POST", path, body)
            answer = self.connection.answer()
        except OSError as error:
            self.fail(f"{error} after {body[:300]} at {path}; the server said {self.server.text()}")
        if answer.headers.get("connection", "").lower() == "close":
            self.connection.socket.close()
            self.connection = self.server.connect()
        return answer

    def try_table(self, path, base, table, prefix=""):
        faults = []
        for field, (legal, illegal, either) in table.items():
            for value in [*legal, *illegal, *either]:
                answer = self.answer(path, body_with(base, prefix + field, value))
                allowed = {200} if value in legal else {400} if value in illegal else {200, 400}
                names = answer.status != 400 or field in answer.error()
                if answer.status not in allowed or not names:
                    faults.append(f"{prefix}{field} = {value[:60]}: {answer.status} "
                                  f"{answer.body[:160]}")
        self.assertFalse(faults, f"{len(faults)} faults at {path}:\n" + "\n".join(faults))

    def test_completions(self):
        base = {"model": "tiny", "prompt": "a", "max_tokens": 1}
        self.try_table("/v1/completions", base, COMPLETIONS)

    def test_chat(self):
        base = {"model": "tiny", "messages": [{"role": "user", "content": "a"}], "max_tokens": 1}
        self.try_table("/v1/chat/completions", base, CHAT)
        self.try_table("/v1/chat/completions", {**base, "logprobs": True},
                       {"top_logprobs": TOP_LOGPROBS})

    def test_generate(self):
        base = {"text": "a", "sampling_params": {"max_new_tokens": 1}}
        table = {name: row for name, row in GENERATE.items() if name != "input_ids"}
        self.try_table("/generate", base, table)
        self.try_table("/generate", {"sampling_params": base["sampling_params"]},
                       {"input_ids": GENERATE["input_ids"]})
        self.try_table("/generate", {"text": "a"}, {"max_new_tokens": MAX_TOKENS}, "sampling_params.")
        table = {**SAMPLING, "seed": SEED}
        self.try_table("/generate", {"text": "a" * 240}, table, "sampling_params.")

    def test_tokens(self):
        self.try_table("/tokenize", {"model": "tiny"}, {
            "prompt": (['"a"', '""'], ["5", "[]", "{}", "true", "null"], []),
            "messages": ([TEXT % '"a"'], ["5", "{}", "true", "[5]", "[{}]"], ["[]"])})
        self.try_table("/detokenize", {"model": "tiny"}, {
            "tokens": (["[97]", "[]"], ["5", "{}", "true", "null", '"a"', '["a"]', *IDS], ["[[97]]"])})

    def test_what_is_no_json(self):
        for path, field, base in (
            ("/v1/completions", "temperature", {"model": "tiny", "prompt": "a", "max_tokens": 1}),
            ("/v1/chat/completions", "seed", {"messages": [{"role": "user", "content": "a"}]}),
            ("/generate", "text", {"sampling_params": {"max_new_tokens": 1}}),
            ("/tokenize", "prompt", {}), ("/detokenize", "tokens", {}),
            ("/abort_request", "rid", {}),
        ):
            for value in NO_JSON:
                with self.subTest(path=path, value=value):
                    self.assert_refused(self.answer(path, body_with(base, field, value)))
            for body in ("", " ", "null", "5", "[]", '"a"', "{", "}", "{}{}", "\x00", "\ufeff",
                         "{" * 100_000, "[" * 1_000_000, '{"a":' * 100_000,
                         '{"%s": %s1%s}' % (field, "[" * 10_000, "]" * 10_000)):
                with self.subTest(path=path, body=body[:20]):
                    self.assert_refused(self.answer(path, body))

    def test_of_a_field_given_twice_one_counts(self):
        for path, prompt in (("/v1/completions", '"prompt":"a"'), ("/generate", '"text":"a"')):
            answer = self.answer(path, '{"model":5,"model":"tiny",%s,%s}' % (prompt, prompt))
            self.assertIn(answer.status, (200, 400), answer)

    def test_unknown_fields_are_ignored(self):
        deep = json.loads("[" * 30 + "]" * 30)
        for value in (5, None, deep, {"a": deep}, "x" * 10_000, [1e300] * 1000):
            body = {"model": "tiny", "prompt": "a", "max_tokens": 1, "unknown": value, "": value}
            self.assertEqual(self.answer("/v1/completions", json.dumps(body)).status, 200)

    def test_a_model_that_is_not_served(self):
        for path, rest in (("/v1/completions", {"prompt": "a"}),
                           ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a"}]})):
            for name in ("nope", "../../etc/passwd", "x" * 10_000, "tiny\0", "TINY"):
                answer = self.answer(path, json.dumps({"model": name, **rest}))
                self.assert_refused(answer, "model", status=404)
                self.assertEqual(answer.json()["error"]["code"], "model_not_found")

    def test_random_bodies(self):
        draw = random.Random(1)
        values = [value for table in (SAMPLING, OPENAI, COMPLETIONS, CHAT, GENERATE)
                  for row in table.values() for part in row for value in part if len(value) < 1000]
        for path, table in (("/v1/completions", COMPLETIONS), ("/v1/chat/completions", CHAT),
                            ("/generate", GENERATE)):
            for _ in range(150):
                fields = {name: draw.choice(row[0]) for name, row in table.items() if row[0]}
                fields["max_tokens"] = "2"
                fields |= {draw.choice(list(table)): draw.choice(values) for _ in range(draw.choice((0, 1, 3)))}
                body = "{" + ",".join(f'"{name}":{value}' for name, value in fields.items()) + "}"
                answer = self.answer(path, body)
                self.assertIn(answer.status, (200, 400, 404, 429), f"{body} -> {answer}")


if __name__ == "__main__":
    unittest.main()
