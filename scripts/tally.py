"""Counts of test cases, kept in one small file per suite so that a run of several can be added up.

python3 scripts/tally.py FOLDER [GOAL=STATUS...] prints the table of a folder of such files and, last,
their sum. A make goal whose exit STATUS is not 0 though no case failed (it stopped before its suites
ran) counts as one that failed.
"""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "build" / "tally"


@dataclass
class Tally:
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0

    def __add__(self, other):
        return Tally(self.passed + other.passed, self.failed + other.failed,
                     self.skipped + other.skipped, self.seconds + other.seconds)

    def line(self):
        """The closing line that CI reads."""
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"

    def good(self):
        """A run that executed nothing has shown nothing."""
        return self.failed == 0 and self.passed > 0

    def write(self, name, folder=FOLDER):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.json").write_text(json.dumps(asdict(self)) + "\n")


def read_all(folder):
    """{suite name: Tally}, in the order the suites ran."""
    files = sorted(Path(folder).glob("*.json"), key=lambda file: file.stat().st_mtime_ns)
    return {file.stem: Tally(**json.loads(file.read_text())) for file in files}


def table(tallies):
    width = max(map(len, tallies), default=0)
    return "\n".join(f"{name:<{width}}  {tally.seconds:7.1f} s  {tally.line()}"
                     for name, tally in tallies.items())


def main(folder, *goals):
    found = read_all(folder)
    if all(tally.failed == 0 for tally in found.values()):
        for goal in goals:
            name, status = goal.split("=")
            if int(status) != 0:
                found[f"make {name}"] = Tally(failed=1)
    total = sum(found.values(), Tally())
    print(table(found))
    print(total.line(), flush=True)
    return 0 if total.good() else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
