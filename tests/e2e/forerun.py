"""Runs the built command: each test script is given its path as the first argument."""
import concurrent.futures
import fcntl
import os
import pathlib
import re
import select
import subprocess
import sys
import tempfile
import termios
import time
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


def read_terminal(terminal):
    """All that comes until the other side is closed, which a terminal ends with EIO."""
    shown = b""
    try:
        while piece := os.read(terminal, 65536):
            shown += piece
    except OSError:
        pass
    return shown


def run_on_terminal(*arguments):
    """(status, standard output, what a terminal as standard error shows)"""
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [COMMAND, *map(str, arguments)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=theirs,
    )
    os.close(theirs)
    with concurrent.futures.ThreadPoolExecutor(1) as reader:  # both are read while it runs
        shown = reader.submit(read_terminal, ours)
        output, _ = process.communicate(timeout=SECONDS)
    os.close(ours)
    return process.returncode, output.decode(), shown.result().decode()


class Terminal:
    """The command with a terminal of its own as standard input, output and error; Ctrl-C typed there
    interrupts it."""

    def __init__(self, *arguments, **environment):
        self.ours, theirs = os.openpty()

        def take_terminal():
            os.setsid()
            fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            [COMMAND, *map(str, arguments)], stdin=theirs, stdout=theirs, stderr=theirs,
            preexec_fn=take_terminal, env={**os.environ, "TERM": "xterm", **environment},
        )
        os.close(theirs)
        self.unread = ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.ours)

    def type(self, text):
        os.write(self.ours, text.encode())

    def type_end(self):
        """Ctrl-D. Line editing shows its prompt before it takes the terminal over; typed between the
        two the end would be the terminal's own and lost to the editor."""
        end = time.monotonic() + SECONDS
        while termios.tcgetattr(self.ours)[3] & termios.ICANON and time.monotonic() < end:
            time.sleep(0.001)
        self.type("\x04")

    def shown(self, pattern, seconds=SECONDS):
        """What is shown up to the first match of `pattern`, the match included."""
        end = time.monotonic() + seconds
        while not (match := re.search(pattern, self.unread, re.DOTALL)):
            ready, _, _ = select.select([self.ours], [], [], max(0, end - time.monotonic()))
            if not ready:
                raise AssertionError(f"{pattern!r} was not shown within {seconds} s: {self.unread!r}")
            try:
                piece = os.read(self.ours, 65536)
            except OSError:
                piece = b""
            if not piece:
                raise AssertionError(f"{pattern!r} was not shown before the end: {self.unread!r}")
            self.unread += piece.decode(errors="replace")
        shown, self.unread = self.unread[: match.end()], self.unread[match.end() :]
        return shown

    def status(self):
        """What the command ends with."""
        return self.process.wait(timeout=SECONDS)


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
