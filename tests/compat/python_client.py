"""The official client for Python: what CI runs too."""
import re
import subprocess

import environments
from outcome import Outcome
from served_model import FORERUN, ROOT


def stage():
    python = subprocess.run([ROOT / "scripts/python_env"], check=True, stdout=subprocess.PIPE,
                            text=True).stdout.strip()
    openai = Outcome(
        "openai for Python", environments.version(python, "openai"),
        "every endpoint, every field of every answer and event held to the client's own types")
    prometheus = Outcome(
        "Prometheus' parser for Python", environments.version(python, "prometheus_client"),
        "`/metrics`: names, kinds, buckets, counters, figures against the traffic")
    for test in sorted((ROOT / "tests/clients").glob("*_test.py")):
        said = subprocess.run([python, test, FORERUN], check=False, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        outcome = prometheus if test.stem == "metrics_test" else openai
        ran = int(re.search(r"^Ran (\d+) test", said.stdout, re.MULTILINE).group(1))
        bad = sum(map(int, re.findall(r"(?:failures|errors)=(\d+)", said.stdout)))
        bad = max(bad, int(said.returncode != 0))
        outcome.passed += max(ran - bad, 0)
        outcome.failed += bad
        if bad:
            print(said.stdout[-6000:])
    return [openai, prometheus]
