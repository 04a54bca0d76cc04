"""Chat templates that tell a model of tools, for models whose own does not."""

# Where a reciting model sees what to recite.
CUE = "{% if add_generation_prompt %}<|start|>{{ (messages[-1]['content'] or '?')[-1] }}{% endif %}"

# The forms are told apart by what the templates say.
HERMES = (
    "{% if tools %}<|start|>system: For each call give a json object within <tool_call></tool_call> "
    'tags: <tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>'
    "{{ tools | tojson }}<|end|>{% endif %}"
    "{% for m in messages %}<|start|>{{ m['role'] }}: {{ m['content'] or '' }}"
    "{% for call in m.tool_calls or [] %}<tool_call>\n"
    '{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}'
    "\n</tool_call>{% endfor %}<|end|>{% endfor %}"
    + CUE
)
LLAMA = (
    "{% if tools %}<|start|>system: Environment: ipython\nRespond in the format "
    '{"name": function name, "parameters": dictionary of argument name and its value}.'
    "{{ tools | tojson }}<|end|>{% endif %}"
    "{% for m in messages %}<|start|>{{ m['role'] }}: {{ m['content'] or '' }}"
    "{% for call in m.tool_calls or [] %}"
    '{"name": "{{ call.function.name }}", "parameters": {{ call.function.arguments | tojson }}}'
    "{% endfor %}<|end|>{% endfor %}{# <|start_header_id|> #}"
    + CUE
)
MISTRAL = (
    "{% if tools %}[AVAILABLE_TOOLS]{{ tools | tojson }}[/AVAILABLE_TOOLS]{% endif %}"
    "{% for m in messages %}<|start|>{{ m['role'] }}: {{ m['content'] or '' }}"
    "{% for call in m.tool_calls or [] %}[TOOL_CALLS]["
    '{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}]'
    "{% endfor %}<|end|>{% endfor %}"
    + CUE
)


def for_smollm2(template):
    """The same in the form that SmolLM2 knows."""
    prompt = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    for ours, its in ((CUE, prompt), ("<|start|>", "<|im_start|>"), ("<|end|>", "<|im_end|>\n"),
                      ("m['role'] }}: ", "m['role'] }}\n"), ("system: ", "system\n")):
        template = template.replace(ours, its)
    return template
