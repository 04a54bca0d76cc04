"""`forerun serve` as a process of its own."""
import os
import queue
import re
import signal
import subprocess
import threading

SECONDS = 60
READY = re.compile(r"https?://[^\s/]+:\d+")


class Server:
    """The command with a free port; `url` is what it says it listens at."""

    def __init__(self, command, *arguments, **environment):
        self.process = subprocess.Popen(
            [command, "serve", *map(str, arguments), "--port", "0"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, **environment},
        )
        self.lines, self.said = queue.SimpleQueue(), []
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        self.url = self.wait_for(READY).group()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def read(self):
        for line in self.process.stdout:
            self.said.append(line)
            self.lines.put(line)
        self.lines.put(None)

    def wait_for(self, pattern):
        """The first match of `pattern` in a line that was not waited for before."""
        while line := self.lines.get(timeout=SECONDS):
            if match := pattern.search(line):
                return match
        raise AssertionError(f"the server ended and said: {''.join(self.said)}")

    def stop(self):
        """Its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            self.reader.join()
            self.process.stdout.close()
