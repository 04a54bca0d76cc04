"""`forerun serve` as a process of its own, and a client of bare sockets that can misbehave."""
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.dont_write_bytecode = True
import forerun  # noqa: E402
import tiny_model  # noqa: E402

SECONDS = 60  # for what happens at once, sanitizers and a busy machine included
READY = re.compile(r"http://127\.0\.0\.1:(\d+)")


def eventually(condition, what, seconds=SECONDS):
    """The first true value of `condition()`."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.005)
    return value


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    def error(self):
        """The sentence of an error in OpenAI's form, the field it names before it."""
        told = self.json()["error"]
        return f"{told.get('param')}: {told['message']}"

    def events(self):
        """The documents of a stream; its end has to be [DONE]."""
        lines = [line[6:] for line in self.body.decode().split("\n") if line.startswith("data: ")]
        assert lines and lines[-1] == "[DONE]", f"a stream without an end: {self.body[-300:]!r}"
        return [json.loads(line) for line in lines[:-1]]

    def __repr__(self):
        return f"{self.status} {self.headers} {self.body[:500]!r}"


class Connection:
    """A socket to the server. Whatever it sends need not be HTTP."""

    def __init__(self, port, receive_bytes=None):
        self.socket = socket.socket()
        if receive_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(SECONDS)
        self.socket.connect(("127.0.0.1", port))
        self.unread = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, *pieces):
        for piece in pieces:
            self.socket.sendall(piece.encode() if isinstance(piece, str) else piece)

    def send_request(self, method, path, body=b"", headers=()):
        body = body.encode() if isinstance(body, str) else body
        head = [f"{method} {path} HTTP/1.1", "Host: here", f"Content-Length: {len(body)}"]
        head += [f"{name}: {value}" for name, value in headers]
        # In one piece: a second would wait for the kernel to have heard of the first (Nagle).
        self.send("\r\n".join(head).encode() + b"\r\n\r\n" + body)

    def receive(self):
        """More bytes in `unread`; false at the connection's end, however it ended."""
        try:
            piece = self.socket.recv(1 << 16)
        except ConnectionError:
            piece = b""
        self.unread += piece
        return bool(piece)

    def take_until(self, mark):
        while mark not in self.unread:
            if not self.receive():
                raise ConnectionError(f"closed; unread is {self.unread[:300]!r}")
        taken, self.unread = self.unread.split(mark, 1)
        return taken

    def take(self, count):
        while len(self.unread) < count:
            if not self.receive():
                raise ConnectionError(f"closed; unread is {self.unread[:300]!r}")
        taken, self.unread = self.unread[:count], self.unread[count:]
        return taken

    def answer_head(self):
        line, *fields = self.take_until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        headers = {}
        for field in fields:
            name, value = field.split(":", 1)
            headers[name.lower()] = value.strip()
        return int(line.split()[1]), headers

    def answer(self, method="GET"):
        status, headers = self.answer_head()
        if method == "HEAD" or status in (204, 304) or status < 200:
            return Answer(status, headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(self.take_until(b"\r\n"), 16):
                body += self.take(size)
                assert self.take(2) == b"\r\n"
            self.take_until(b"\r\n")
            return Answer(status, headers, body)
        return Answer(status, headers, self.take(int(headers["content-length"])))

    def ended(self, seconds=SECONDS):
        """Whether the server closes the connection, within some seconds."""
        self.socket.settimeout(seconds)
        try:
            while self.receive():
                pass
            return True
        except TimeoutError:
            return False

    def reset(self):
        """Ends with RST, as a process that dies or a network that is cut does."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()


class Server:
    """The command with a free port, in an empty folder of its own."""

    def __init__(self, *arguments, preexec_fn=None, **environment):
        self.folder = tempfile.TemporaryDirectory()
        self.process = subprocess.Popen(
            [forerun.COMMAND, "serve", *map(str, arguments), "--port", "0"], cwd=self.folder.name,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, "TMPDIR": self.folder.name, **environment}, preexec_fn=preexec_fn,
        )
        self.said, self.port, self.ready = [], None, threading.Event()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        if not self.ready.wait(SECONDS) or not self.port:
            self.kill()
            raise AssertionError(f"the server is not ready: {self.text()}")

    def _read(self):
        for line in self.process.stdout:
            self.said.append(line)
            if not self.port and (match := READY.search(line)):
                self.port = int(match.group(1))
                self.ready.set()
        self.ready.set()

    def text(self):
        return "".join(self.said)

    def lives(self):
        return self.process.poll() is None

    def connect(self, **options):
        return Connection(self.port, **options)

    def request(self, method, path, body=b"", headers=()):
        """The answer over a connection of its own. `body`: text, bytes, or a document."""
        if not isinstance(body, (str, bytes)):
            body = json.dumps(body)
        with self.connect() as connection:
            connection.send_request(method, path, body, headers)
            return connection.answer(method)

    def get(self, path, **headers):
        return self.request("GET", path, headers=headers.items())

    def post(self, path, body, **headers):
        return self.request("POST", path, body, headers.items())

    def figure(self, name):
        """The sum of a metric's samples; 0 where it has none yet."""
        text = self.get("/metrics").body.decode()
        pattern = rf"^vllm:{name}(?:{{[^}}]*}})? (\S+)$"
        return sum(float(value) for value in re.findall(pattern, text, re.MULTILINE))

    def load(self):
        """(running, waiting, share of the KV pages in use)"""
        return (self.figure("num_requests_running"), self.figure("num_requests_waiting"),
                self.figure("kv_cache_usage_perc"))

    def processor_seconds(self):
        stat = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text()
        return sum(map(int, stat.rsplit(")", 1)[1].split()[11:13])) / os.sysconf("SC_CLK_TCK")

    def rss_anon_bytes(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"RssAnon:\s+(\d+) kB", status).group(1)) * 1024

    def signal(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    def end(self, seconds=SECONDS):
        """Its exit status, and whether it left something in its folder."""
        status = self.process.wait(timeout=seconds)
        self.reader.join()
        self.process.stdout.close()
        left = os.listdir(self.folder.name)
        self.folder.cleanup()
        assert not left, f"the server left {left}"
        return status

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        """Ends it as an operator does; it has to end well, unless a test has ended it already."""
        if self.process.stdout.closed:
            return
        if self.lives():
            self.signal()
        try:
            status = self.end()
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the server does not end: {self.text()}") from None
        assert status == 0, f"the server ended with {status}: {self.text()}"


class TestCase(unittest.TestCase):
    """Each class has a server, which has to outlive all of its tests. `changes` are the tiny model's,
    `options` the command's."""

    changes = {}
    options = ()

    @classmethod
    def setUpClass(cls):
        holder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(holder.cleanup)
        cls.model = pathlib.Path(holder.name, "tiny.gguf")
        cls.model.write_bytes(tiny_model.model(**cls.changes))
        if cls.options is not None:
            cls.server = Server(cls.model, "--served-model-name", "tiny", *cls.options)
            cls.addClassCleanup(cls.server.stop)

    def start(self, *options, **more):
        """A server of the test's own."""
        server = Server(self.model, "--served-model-name", "tiny", *options, **more)
        self.addCleanup(server.stop)
        return server

    def tearDown(self):
        if self.options is not None:
            self.assert_serves(self.server)

    def assert_serves(self, server):
        """It lives, answers, and holds nothing of what went before."""
        self.assertTrue(server.lives(), server.text())
        answer = server.post("/v1/completions", {"model": "tiny", "prompt": "a", "max_tokens": 2})
        self.assertEqual(answer.status, 200, answer)
        eventually(lambda: server.load() == (0, 0, 0), "nothing runs, waits or holds pages")

    def assert_refused(self, answer, *words, status=400):
        """An error in OpenAI's form that says one of the words, or is just of `status`."""
        self.assertEqual(answer.status, status, answer)
        told = answer.error()
        self.assertTrue(not words or any(word in told for word in words), f"{words} not in {told}")
