"""The single test cases in what test programs print: GoogleTest, unittest (verbose), cargo test."""

import re
from dataclasses import dataclass


@dataclass
class Case:
    name: str
    outcome: str  # passed, failed, skipped
    reason: str = ""


GOOGLE_STARTED = re.compile(r"\[ RUN      \] (\S+)")
GOOGLE_FINISHED = re.compile(
    r"\[ {2}(     OK|FAILED |SKIPPED) \] ([^\s,]+)[^\n]*? \(\d+ ms\)")
GOOGLE_DISABLED = re.compile(r"YOU HAVE (\d+) DISABLED TEST")
GOOGLE_OUTCOMES = {"OK": "passed", "FAILED": "failed", "SKIPPED": "skipped"}

# A test with a doc string is announced in two lines.
UNITTEST = re.compile(
    r"^(test\w*) \(\S+\)(?:\n[^\n]+?)? \.\.\. (?:[^\n]*?)(ok|FAIL|ERROR|skipped '([^\n]*)')$",
    re.MULTILINE)
UNITTEST_OUTCOMES = {"ok": "passed", "FAIL": "failed", "ERROR": "failed"}

RUST = re.compile(r"^test (\S+)(?: - should panic)? \.\.\. (ok|FAILED|ignored)", re.MULTILINE)
RUST_OUTCOMES = {"ok": "passed", "FAILED": "failed", "ignored": "skipped"}


def google_cases(output):
    """A case that began and never ended has failed."""
    cases = {}
    started = [(match.group(1), match.end()) for match in GOOGLE_STARTED.finditer(output)]
    for name, _ in started:
        cases[name] = Case(name, "failed", "ended the program")
    begins = dict(started)
    for match in GOOGLE_FINISHED.finditer(output):
        outcome, name = GOOGLE_OUTCOMES[match.group(1).strip()], match.group(2)
        reason = ""
        if outcome == "skipped":
            said = output[begins.get(name, 0):match.start()].strip().splitlines()
            reason = " ".join(line for line in said if not line.endswith(": Skipped")).strip()
        cases[name] = Case(name, outcome, reason)
    disabled = GOOGLE_DISABLED.search(output)
    found = list(cases.values())
    if disabled:
        found += [Case("(disabled)", "skipped", "disabled")] * int(disabled.group(1))
    return found


def unittest_cases(output):
    return [Case(name, UNITTEST_OUTCOMES.get(word, "skipped"), reason)
            for name, word, reason in UNITTEST.findall(output)]


def rust_cases(output):
    return [Case(name, RUST_OUTCOMES[word], "ignored" if word == "ignored" else "")
            for name, word in RUST.findall(output)]


def cases_in(output):
    return google_cases(output) or unittest_cases(output) or rust_cases(output)


def cases_of(entry):
    """The cases in one <testcase> of ctest's JUnit report."""
    program, status = entry.get("name"), entry.get("status")
    output = entry.findtext("system-out") or ""
    if status == "disabled":
        return [Case(program, "skipped", "disabled")]
    cases = cases_in(output)
    for case in cases:
        case.name = f"{program}: {case.name}"
    if cases:
        # A program can fail outside its cases: at exit (a sanitizer's report), or by its time limit.
        if status == "fail" and all(case.outcome != "failed" for case in cases):
            cases.append(Case(f"{program}: after its last case", "failed"))
        return cases
    if status == "run":
        # A program without a case passes, and has tested nothing.
        empty = re.search(r"Running 0 tests|^Ran 0 tests|^running 0 tests", output, re.MULTILINE)
        return [Case(program, "failed", "has no test")] if empty else [Case(program, "passed")]
    skipped = entry.find("skipped")
    if skipped is not None and "SKIP" in (skipped.get("message") or ""):
        said = output.strip().splitlines()
        return [Case(program, "skipped", said[-1] if said else "")]
    return [Case(program, "failed", skipped.get("message") if skipped is not None else "")]
