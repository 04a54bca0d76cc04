"""Runs the built command: each test script is given its path as the first argument."""
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

COMMAND = sys.argv.pop(1)
SECONDS = 100


def run(*arguments, stdin=None, **environment):
    """stdin: text; without it, nothing at all is there to read."""
    return subprocess.run(
        [COMMAND, *map(str, arguments)],
        input="" if stdin is None else stdin,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env={**os.environ, **environment},
    )


class TestCase(unittest.TestCase):
    """One with a folder of its own, `self.folder`, gone afterwards."""

    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = pathlib.Path(holder.name)

    def write(self, name, content):
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def assert_fails(self, result, status, sentence, after=""):
        """It ended with `status`, said `sentence` on one line and wrote no output. `after` is what
        it told of before, as a pattern."""
        self.assertEqual(result.returncode, status, result.stderr)
        self.assertIn(sentence, result.stderr)
        self.assertEqual(result.stdout, "")
        if status == 1:
            self.assertRegex(result.stderr, rf"^{after}forerun: [^\n]+\n$")
