"""Schemathesis against our own /openapi.json: requests made of the description, right and wrong."""
import re
import subprocess

import environments
from outcome import Outcome
from served_model import ROOT, ServedModel

PACKAGES = ("schemathesis==4.32.5",)
SEEDS = (1, 2, 3)
EXAMPLES = 40
# A generated answer is as long as the request allows; the sizes of the server keep a run short.
OPTIONS = ("--kv-tokens", 256, "--max-sequences", 8)
# This server does not learn, so these are not there; and events would never end.
NOT_THERE = "^/forerun/(heads|learning|events)"


def stage():
    python = environments.python("schemathesis", *PACKAGES)
    outcome = Outcome("schemathesis", environments.version(python, "schemathesis"),
                      f"`/openapi.json`, all checks, {len(SEEDS)} seeds")
    cases = 0
    for seed in SEEDS:
        with ServedModel(*OPTIONS) as url:
            said = subprocess.run(
                [python.parent / "schemathesis", "--config-file",
                 ROOT / "tests/compat/schemathesis.toml", "run", f"{url}/openapi.json",
                 "--exclude-path-regex", NOT_THERE, "--seed", str(seed),
                 "--max-examples", str(EXAMPLES), "--workers", "2",
                 "--request-timeout", "60", "--generation-database", "none",
                 "--output-sanitize", "false", "--no-color"],
                check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                cwd=ROOT / "build")
        found = re.search(r"([\d,]+) generated", said.stdout)
        cases += int(found.group(1).replace(",", "")) if found else 0
        outcome.check(said.returncode == 0, f"seed {seed}:\n{said.stdout[-6000:]}")
    outcome.note = f"{cases} requests"
    return [outcome]
