"""The table of docs/compatibility.md: a row for each outcome, kept by the stage that it is of."""
import datetime
import re
from pathlib import Path

FILE = Path(__file__).resolve().parents[2] / "docs/compatibility.md"
ROW = re.compile(r"^\|.*\| `scripts/compat (\S+)` \|$", re.MULTILINE)


def row(stage, outcome, day):
    return (f"| {outcome.client} | {outcome.version} | {outcome.tried} | {outcome.result()} | {day} "
            f"| `scripts/compat {stage}` |")


def put(stage, outcomes):
    """Writes the rows of a stage in place of those it had."""
    text = FILE.read_text(encoding="utf-8")
    day = datetime.date.today().isoformat()
    rows = "\n".join(row(stage, outcome, day) for outcome in outcomes)
    old = [match for match in ROW.finditer(text) if match.group(1) == stage]
    if old:
        text = text[:old[0].start()] + rows + text[old[-1].end():]
    else:
        last = [match.end() for match in ROW.finditer(text)] or [
            text.index("|---|---|---|---|---|---|") + len("|---|---|---|---|---|---|")]
        text = f"{text[:last[-1]]}\n{rows}{text[last[-1]:]}"
    FILE.write_text(text, encoding="utf-8")
