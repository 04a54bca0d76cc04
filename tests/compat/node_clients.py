"""Clients for Node: their scripts run under Node's own test runner."""
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import environments
from outcome import Outcome
from served_model import ENCODER, NAME, ServedModel

OPENAI, ZOD = "openai@7.55.0", "zod@4.6.7"
AI, PROVIDER = "ai@7.0.173", "@ai-sdk/openai-compatible@3.0.92"


def run(script, folder, outcome):
    """The script, beside the packages it imports."""
    shutil.copy(Path(__file__).parent / script, folder)
    executable, _ = environments.node()
    with ServedModel() as url:
        said = subprocess.run(
            [executable, "--test", "--test-reporter=tap", script], cwd=folder, check=False, text=True,
            stdout=subprocess.PIPE, env={
                **os.environ, "FORERUN_URL": url, "FORERUN_MODEL": NAME,
                "FORERUN_EMBEDDING_MODEL": ENCODER, "NODE_NO_WARNINGS": "1"}).stdout
    counted = {word: int(count) for word, count in
               re.findall(r"^# (pass|fail) (\d+)$", said, re.MULTILINE)}
    outcome.passed, outcome.failed = counted["pass"], counted["fail"]
    if outcome.failed:
        print(said)
    return [outcome]


def openai_node():
    folder = environments.node_folder("openai_node", OPENAI, ZOD)
    return run("openai_node.mjs", folder, Outcome(
        "openai for Node", f"{version(folder, 'openai')} on Node 24",
        "chat, streams, choices, schemas by zod, tools and the client's own tool loop, completions, "
        "vectors, error classes, a stream that is left"))


def ai_sdk():
    folder = environments.node_folder("ai_sdk", AI, PROVIDER, ZOD)
    return run("ai_sdk.mjs", folder, Outcome(
        "AI SDK, openai-compatible provider",
        f"ai {version(folder, 'ai')}, provider {version(folder, '@ai-sdk/openai-compatible')}",
        "generateText, streamText, tools whole and streamed, structured output, completions, vectors"))


def version(folder, package):
    return json.loads((folder / "node_modules" / package / "package.json").read_text())["version"]
