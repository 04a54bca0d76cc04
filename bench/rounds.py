"""What the comparisons of this folder share: rounds in which each engine is measured in turn, kept
in a file so that an interrupted run goes on where it was, and medians over them."""

import json
import os
import pathlib
import re
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
# FORERUN in the environment names another build's.
FORERUN = pathlib.Path(os.environ.get("FORERUN", ROOT / "build/release/apps/forerun/forerun"))
RESULTS = ROOT / "bench/results"


def output(*command):
    """What a command prints; its standard error is the caller's."""
    return subprocess.run([str(part) for part in command], check=True, stdout=subprocess.PIPE,
                          text=True).stdout


def path_of(model):
    """A model's file or directory; short names are fetched first."""
    if pathlib.Path(model).exists():
        return pathlib.Path(model)
    return pathlib.Path(output(FORERUN, "pull", model).split()[-1])


def requantized(file, to_type):
    """The file in another type, made by llama.cpp. It stays with the peer."""
    binaries = pathlib.Path(output(ROOT / "bench/peers/build_llama_cpp").strip())
    made = binaries.parent.parent / f"{file.stem}.{to_type}.gguf"
    if not made.exists():
        part = made.with_suffix(".part")
        made.with_suffix(".log").write_text(output(
            "bash", "-c", '"$@" 2>&1', "-", binaries / "llama-quantize", "--allow-requantize", file,
            part, to_type))
        part.rename(made)
    return made


def processor():
    """A name for files: "amd26_2", "intel6_143" (family and model)."""
    lines = pathlib.Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    facts = {name.strip(): value.strip() for name, value in
             (line.split(":", 1) for line in lines if ":" in line)}
    vendor = {"AuthenticAMD": "amd", "GenuineIntel": "intel"}.get(facts["vendor_id"], "x86")
    return f"{vendor}{facts['cpu family']}_{facts['model']}"


def file_name(*parts):
    return re.sub(r"[^a-z0-9.]+", "_", "_".join(parts).lower()) + ".json"


def kept(document):
    """A document as results keep it: a model's file by its name, not by where it lies here."""
    return {key: pathlib.Path(value).name if key == "file" else value
            for key, value in document.items()}


def measure_in_turns(file, count, measures):
    """The rounds [{name: document}] of `file`, brought to `count`: measures {name: function} are
    called in order, round by round, where the file lacks them."""
    rounds = json.loads(file.read_text()) if file.exists() else []
    for index in range(count):
        if index == len(rounds):
            rounds.append({})
        for name, measure in measures.items():
            if name in rounds[index]:
                continue
            print(f"round {index + 1} of {count}: {name}", file=sys.stderr, flush=True)
            rounds[index][name] = kept(measure())
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(rounds, indent=1) + "\n")
    return rounds


def find(document, part, key, **where):
    for entry in document.get(part, []):
        if all(entry.get(name) == value for name, value in where.items()):
            return entry.get(key)
    return None


def medians(rounds, name, part, key, **where):
    values = [find(one[name], part, key, **where) for one in rounds if name in one]
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


def ratio(a, b):
    return None if a is None or b is None else a / b


def cell(value, digits=0, unit=""):
    return "" if value is None else f"{value:.{digits}f}{unit}"


def markdown(head, rows):
    """Rows whose cells after the first are all empty are left out."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows if any(row[1:])])
