"""What trying a client gave: a row of docs/compatibility.md."""
from dataclasses import dataclass


@dataclass
class Outcome:
    client: str
    version: str
    tried: str
    passed: int = 0
    failed: int = 0
    note: str = ""

    def check(self, good, sentence):
        """Counts one thing that was to be so, and says what is not."""
        self.passed += bool(good)
        self.failed += not good
        if not good:
            print(f"  {self.client}: {sentence}", flush=True)
        return good

    def result(self):
        counts = f"{self.passed} of {self.passed + self.failed}"
        return f"{counts}; {self.note}" if self.note else counts
