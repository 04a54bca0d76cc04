"""Renders chat templates as transformers does, with Jinja itself: the oracle of
src/text/template_golden_test.cc.

  $(scripts/make_oracle_env) tests/golden/make_template_golden.py

writes tests/golden/templates.json: for each template its text, or null where Jinja gives an error.
The environment is that of transformers' apply_chat_template: sandboxed, trim_blocks, lstrip_blocks,
loop controls, `generation` blocks, and its tojson, raise_exception and strftime_now.

Left out is what minijinja, which renders for forerun, does otherwise and no published template was seen
to use: `%` on strings, how a tuple prints, `-x[0]`, `a ~ list`, a division by zero, the filters
wordcount, truncate, center, striptags, xmlattr, filesizeformat and random.
"""

import json
from pathlib import Path

import jinja2
import jinja2.ext
from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
                      sort_keys=sort_keys)


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


VARIABLES = {
    "messages": [
        {"role": "system", "content": " Be brief. "},
        {"role": "user", "content": "Wie heißt \"das\"? <b>'x'</b>\n"},
        {"role": "assistant", "content": None, "tool_calls": [
            {"type": "function", "function": {"name": "f", "arguments": {
                "city": "Zürich", "n": 2, "x": 1.5, "ok": True, "none": None, "l": [1, "a"]}}}]},
        {"role": "tool", "content": [{"type": "text", "text": "part"}, {"type": "image"}]},
        {"role": "user", "content": "<think>\nhm\n</think>\n\nend"},
    ],
    "tools": None,
    "add_generation_prompt": True,
    "bos_token": "<s>",
    "eos_token": "</s>",
    "text": "  Hello, World  ",
    "words": ["b", "a", "C", "a"],
    "numbers": [3, 1, 2.5, -4],
    "mixed": [1, 2.0, "it's", "\"", None, True, {"k": [False]}],
    "table": {"b": 2, "a": {"x": None}, "C": []},
    "records": [{"n": 2, "t": "x"}, {"n": 1, "t": "y"}, {"n": 3, "t": "x"}, {"t": "z"}],
    "tree": [{"n": 1, "children": [{"n": 2}, {"n": 3, "children": [{"n": 4}]}]}],
    "unicode": "é漢🤖\u200d\u2028",
}

# One feature each, as published templates use it.
TEMPLATES = r"""
{{ mixed }}|{{ table }}|{{ none }}|{{ true }}|{{ 1.0 }}|{{ 1e100 }}|{{ 1e-7 }}|{{ -0.5 }}
{{ mixed | tojson }}|{{ table | tojson(indent=2) }}|{{ unicode | tojson }}|{{ "<'&>" | tojson }}
{{ table | tojson(sort_keys=true) }}|{{ table | tojson(separators=(",", ":")) }}
{{ unicode | tojson(ensure_ascii=true) }}
{{ mixed | string }}|{{ mixed | trim }}|{{ words | upper }}|{{ table | lower }}|{{ true | upper }}
{{ mixed | join(", ") }}|{{ words | join }}|{{ [[1, none], {"a": true}] | join("-") }}
{{ mixed | replace("it", "IT") }}|{{ "aaa" | replace("a", "b", 2) }}|{{ 12321 | replace(2, "x") }}
{{ text | trim }}|{{ text | title }}|{{ text | capitalize }}|{{ text | length }}|{{ none | string }}
{{ "a" ~ 1 ~ none ~ true ~ 2.0 }}|{{ "a" + "b" }}|{{ "ab" * 2 }}|{{ [1] + [2] }}|{{ [0] * 3 }}
{{ "%s has %d and %.2f" | format("x", 3, 1.5) }}
{{ text.strip() }}|{{ text.lstrip() }}|{{ text.rstrip() }}|{{ "xxaxx".strip("x") }}|{{ "abcb".rstrip("bc") }}
{{ "a,b,,c".split(",") }}|{{ " a  b ".split() }}|{{ "a,b,c".split(",", 1) }}|{{ "a b c".split(" ")[-1] }}
{{ "a,b,c".rsplit(",", 1) }}|{{ "a=b=c".partition("=") | list }}|{{ "a=b=c".rpartition("=")[0] }}|{{ "ab".partition("x") | list }}|{{ "ab".rpartition("x") | list }}
{{ "a\nb\r\nc".splitlines() }}|{{ "abcabc".find("c") }}|{{ "abcabc".rfind("c") }}|{{ "abc".find("z") }}|{{ "abc".index("b") }}
{{ "abc".startswith("ab") }}|{{ "abc".endswith(("x", "c")) }}|{{ "abc".startswith(("x", "a")) }}
{{ "aXb".lower() }}|{{ "aXb".upper() }}|{{ "hello world".title() }}|{{ "hELLO".capitalize() }}|{{ "aB".swapcase() }}
{{ "abc".replace("b", "") }}|{{ "aaa".replace("a", "b", 1) }}|{{ "aaa".count("a") }}|{{ "aaa".count("") }}
{{ "prefix-x".removeprefix("prefix-") }}|{{ "x.py".removesuffix(".py") }}|{{ "x".removeprefix("y") }}
{{ "12".isdigit() }}|{{ "a1".isalnum() }}|{{ "ab".isalpha() }}|{{ " \n".isspace() }}|{{ "AB".isupper() }}|{{ "x".islower() }}|{{ "12".isdecimal() }}
{{ "7".zfill(3) }}|{{ "-7".zfill(4) }}|{{ "a".ljust(3, ".") }}|{{ "a".rjust(3) }}|{{ "a".center(4, "*") }}
{{ "-".join(words) }}|{{ "{} and {}".format("a", 1) }}|{{ "{x}".format(x=2) }}|{{ "{0}{0}".format("r") }}
{{ table.items() | list | tojson }}|{{ table.keys() | list }}|{{ table.values() | list }}|{{ table.get("z", "no") }}|{{ table.get("z") }}|{{ table.b }}
{{ words.index("C") }}|{{ words.count("a") }}|{{ words[1:] }}|{{ words[::-1] }}|{{ words[-1] }}|{{ text[2:7] }}|{{ unicode[1] }}
{% for k, v in table.items() %}{{ k }}={{ v }};{% endfor %}|{% for k in table %}{{ k }}{% endfor %}|{% for k, v in table | dictsort %}{{ k }}{% endfor %}|{% for k, v in table | items %}{{ k }}{% endfor %}
{{ none is iterable }}|{{ 1 is iterable }}|{{ "a" is iterable }}|{{ words is iterable }}|{{ table is iterable }}|{{ nope is iterable }}
{{ none is sequence }}|{{ "a" is sequence }}|{{ table is sequence }}|{{ 1 is sequence }}|{{ words is sequence }}
{{ table is mapping }}|{{ words is mapping }}|{{ "a" is string }}|{{ 1 is string }}|{{ 1 is number }}|{{ true is number }}|{{ 1.0 is integer }}|{{ 1 is float }}|{{ true is integer }}
{{ none is none }}|{{ nope is none }}|{{ nope is defined }}|{{ tools is defined }}|{{ tools is not none }}|{{ true is true }}|{{ 1 is true }}|{{ true is boolean }}
{{ 3 is odd }}|{{ 4 is divisibleby(2) }}|{{ 1 is eq(1) }}|{{ 1 is in([1]) }}|{{ "A" is upper }}|{{ true is sameas(true) }}
{{ nope }}|{{ nope | default("d") }}|{{ none | default("d") }}|{{ none | default("d", true) }}|{{ "" | default("d", true) }}|{{ messages[0].nope }}
{{ "x" if nope else "y" }}|{{ "x" if false }}|{{ not none }}|{{ none or "z" }}|{{ numbers[0] and none }}|{{ "a" in "abc" }}|{{ "a" not in words }}|{{ "b" in table }}
{{ 7 // 2 }}|{{ -7 // 2 }}|{{ 7 % 3 }}|{{ -7 % 3 }}|{{ 2 ** 10 }}|{{ 7 / 2 }}|{{ 6 / 2 }}|{{ 1 + 2.0 }}|{{ 1 == 1.0 }}|{{ true + 1 }}
{{ 1 < 2 < 3 }}|{{ "a" < "b" }}|{{ [1, 2] == [1, 2] }}|{{ [1, 2] < [1, 3] }}|{{ {"a": 1} == {"a": 1} }}|{{ (1, 2) | list }}
{{ words | sort }}|{{ words | sort(case_sensitive=true) }}|{{ words | sort(reverse=true) }}|{{ records | sort(attribute="t") | map(attribute="t") | list }}
{{ words | unique | list }}|{{ words | first }}|{{ words | last }}|{{ words | reverse | list }}|{{ words | length }}|{{ numbers | sum }}|{{ numbers | min }}|{{ numbers | max }}
{{ records | map(attribute="n", default=0) | list }}|{{ records | selectattr("n", "defined") | map(attribute="n") | sum }}|{{ records | selectattr("t", "equalto", "x") | list | length }}
{{ records | rejectattr("n") | list }}|{{ numbers | select("gt", 1) | list }}|{{ numbers | reject("odd") | list }}|{{ words | map("upper") | list }}|{{ words | select | list }}
{% for t, g in records | groupby("t") %}{{ t }}:{{ g | length }};{% endfor %}|{{ words | batch(3, "-") | list }}|{{ words | slice(2) | list }}
{{ 3.7 | int }}|{{ "42" | int }}|{{ "x" | int(5) }}|{{ "1.5" | float }}|{{ 2.567 | round(1) }}|{{ -3 | abs }}|{{ 5 | string }}|{{ "ab" | list }}
{{ "a\nb\n\nc" | indent }}|{{ "a\nb" | indent(2, true) }}|{{ "a\n\nb" | indent(2, blank=true) }}|{{ "a\nb" | indent(width="--") }}
{% for m in messages %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.previtem.role if loop.previtem is defined }}{{ loop.nextitem.role if loop.nextitem is defined }};{% endfor %}
{% for m in messages if m.role == "user" %}{{ loop.index }}{{ m.content }}{% else %}none{% endfor %}|{% for x in [] %}x{% else %}empty{% endfor %}
{% for x in numbers %}{% if x == 1 %}{% continue %}{% endif %}{% if x < 0 %}{% break %}{% endif %}{{ x }},{% endfor %}
{% for n in tree recursive %}{{ n.n }}{% if n.children %}({{ loop(n.children) }}){% endif %}{% endfor %}|{% for x in words %}{{ loop.cycle("o", "e") }}{{ loop.changed(x) }}{% endfor %}
{% set ns = namespace(n=0, s="") %}{% for x in numbers %}{% set ns.n = ns.n + x %}{% set ns.s = ns.s ~ x %}{% endfor %}{{ ns.n }} {{ ns.s }}
{% set a, b = 1, "x" %}{{ a }}{{ b }}|{% set block %}caught {{ a }}{% endset %}{{ block | upper }}|{% set t %}{% endset %}{{ t | length }}
{% macro f(a, b=2, c=none) %}{{ a }}-{{ b }}-{{ c }}{% endmacro %}{{ f(1) }}|{{ f(1, c="z") }}|{{ f(a="k", b=[]) }}
{% macro outer() %}[{{ caller() }}]{% endmacro %}{% call outer() %}in{% endcall %}|{% filter upper %}loud{% endfilter %}|{% with x = 5 %}{{ x }}{% endwith %}
{% macro walk(v, d=0) %}{% if v is mapping %}{% for k, w in v.items() %}{{ "  " * d }}{{ k }}:{{ walk(w, d + 1) }}{% endfor %}{% else %}{{ v }};{% endif %}{% endmacro %}{{ walk(table) }}
{% generation %}by the model{% endgeneration %}|{% raw %}{{ raw }}{% endraw %}|{# gone #}|{{ "{{" }}
{{ messages[-1].content.split("</think>")[-1].lstrip("\n") }}|{{ messages[-1]["content"].split("<think>")[-1].split("</think>")[0].strip() }}
{{ messages[2].tool_calls[0].function.arguments | tojson }}|{% for k, v in messages[2].tool_calls[0].function.arguments | items %}{{ k }}={{ v | tojson if v is not string else v }},{% endfor %}
{{ messages[2].tool_calls[0].function.arguments }}|{{ messages[2].content }}|{{ messages[3].content }}
{{ messages | map(attribute="role") | join(",") }}|{{ messages[1:] | length }}|{{ (messages | last).role }}|{{ messages | selectattr("role", "in", ["tool"]) | list | length }}
{% if messages[0]["role"] == "system" %}{% set system = messages[0]["content"] | trim %}{% set rest = messages[1:] %}{% else %}{% set rest = messages %}{% endif %}{{ system }}/{{ rest | length }}
{{ bos_token + (messages[0].content if messages else "") }}|{{ "a" "b" }}|{{ 'single' }}|{{ "tab\tnl\\n\u00e9" }}
{{ range(3) | list }}|{{ range(1, 10, 4) | list }}|{{ range(3, 0, -1) | list }}|{{ dict(a=1, b="x") }}|{{ strftime_now("%Y") | length }}
{{ raise_exception("no") }}
{{ messages.nope.deeper }}
{{ "x" + 1 }}
{{ nope() }}
{% for x in 5 %}{% endfor %}
{{ unicode | upper }}|{{ "ß" | upper }}|{{ "İ".lower() }}|{{ "they're o'k x2y".title() }}|{{ unicode | length }}|{{ unicode | reverse }}
{{ "a" if words | length > 3 and words is not string else "b" }}|{{ (words | length) - 1 }}|{{ -(numbers[0]) }}|{{ not words == [] }}
{{ words | tojson | length }}|{{ {"a": 1, "b": {"c": [1, 2]}} }}|{{ {"é": "ü"} | tojson }}|{{ {1: "x"} | tojson }}|{{ [1, [2, []]] | tojson(indent=4) }}
{{ joiner is defined }}|{% set j = joiner(", ") %}{% for w in words %}{{ j() }}{{ w }}{% endfor %}|{% set c = cycler("a", "b") %}{{ c.next() }}{{ c.next() }}{{ c.next() }}
{{ unicode.find("🤖") }}|{{ unicode[:unicode.index("🤖")] }}|{{ "ab ab".rindex("b", 0, 3) }}|{{ "abc".find("c", 0, 2) }}|{{ "abc".find("a", 1) }}
{{ "".isdigit() }}|{{ "".isspace() }}|{{ "A1".isupper() }}|{{ "1".isupper() }}|{{ "aB".islower() }}|{{ "x\x1c".strip() }}|{{ "a\u2028b\x0bc\r\nd".splitlines() | tojson }}
{{ " a  b c ".rsplit() }}|{{ " a  b c ".rsplit(none, 1) }}|{{ "aXbXc".rsplit("X") }}|{{ "abcde".center(3) }}|{{ "ab".center(5, ".") }}|{{ "+5".zfill(4) }}
{{ records | join(",", attribute="t") }}|{{ "abc" | join("-") }}|{{ "aaa" | replace("a", "b", count=1) }}|{{ none | int }}|{{ "0x" | int }}|{{ " 7 " | int }}|{{ "1e3" | float }}|{{ "q" | float(2.5) }}
{{ "a-b_c" | replace("-", " ") | replace("_", " ") | title }}|{{ "x" | e }}|{{ "<x>" | escape }}|{{ "<x>" | safe }}
""".strip("\n").split("\n")

# Where white space and lines matter.
LAYOUTS = [
    "a\n  {% if true %}\n  b\n  {% endif %}\nc\n",
    "{%- for m in messages -%}\n  {{- m.role }}\n{%- endfor %}\n",
    "  {% set x = 1 %}\n  {{ x }}  \n  {#- c -#}  \n end",
    "{% for w in words %}\n{{ w }}\n{% endfor %}\n\n",
    "a {%+ if true %} b{%+ endif %} c",
    "{{ 'a' -}}\n  b {%- if true -%}  c  {%- endif -%}\n",
    "x\n{%- raw %} y \n{% endraw -%}\nz\n",
    "{% macro m() -%}\n  in\n{%- endmacro %}\n<{{ m() }}>\n",
    "\n\n{% if false %}\na\n{% else %}\nb\n{% endif %}\n",
    "a\r\n{% if true %}\r\nb\r\n{% endif %}\r\n",
    "{# x #}\n{#- y -#}\n{% set z = 'q' -%}\n {{ z }}\n",
]


def main():
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda form: "2026" if form == "%Y" else form
    cases = []
    for template in TEMPLATES + LAYOUTS:
        # Line by line features stand on their own, so that one error hides no other.
        parts = [template] if template in LAYOUTS or "{% set" in template or "macro" in template \
            else template.replace("|{%", "\0{%").replace("|{{", "\0{{").split("\0")
        for part in parts:
            try:
                text = environment.from_string(part).render(**VARIABLES)
            except Exception:
                text = None
            cases.append({"template": part, "text": text})
    output = Path(__file__).parent / "templates.json"
    output.write_text(json.dumps({"variables": VARIABLES, "jinja": jinja2.__version__,
                                  "cases": cases}, indent=1, ensure_ascii=False) + "\n")
    print(f"{len(cases)} templates, {sum(case['text'] is None for case in cases)} of them errors")


if __name__ == "__main__":
    main()
