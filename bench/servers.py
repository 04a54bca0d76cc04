"""Servers as the comparisons of this folder start them, the load client that is sent to all of them,
and the requests it sends."""

import json
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

from rounds import FORERUN, ROOT, output

# What is asked to end unwinds, so that its servers end with it.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
LOAD_CLIENT = ROOT / "build/release/bench/load_client"
SECONDS = 60
REQUEST_SECONDS = 300
# Words that are one token each, in most vocabularies of English.
WORDS = """the of and to in is that for it as was with be by on not he his but at are this have from
or had an they which one you were her all she there would their we him been has when who will more no
if out so said what up its about into than them can only other new some could time these two may then
do first any my now such like our over man me even most made after also did many before must through
years where much your way well down should because each just those people how too little state good
very make world still own see men work long get here between both life being under never day same
another know while last might us great old year off come since against go came right used take three""".split()


class Process:
    """A server for the time of a block. `command` may hold PORT."""

    def __init__(self, command, environment=None):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [str(part).replace("PORT", str(self.port)) for part in command],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})})

    def __enter__(self):
        end = time.monotonic() + SECONDS
        while self.status("/health") != 200:
            if self.process.poll() is not None or time.monotonic() > end:
                self.process.kill()
                raise SystemExit(f"the server is not ready: {self.said()}")
            time.sleep(0.02)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def said(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def status(self, path):
        try:
            with urllib.request.urlopen(self.url + path, timeout=SECONDS) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return None

    def figure(self, name):
        """The sum of a metric's samples."""
        with urllib.request.urlopen(self.url + "/metrics", timeout=SECONDS) as answer:
            text = answer.read().decode()
        found = re.findall(rf"^\w+:{name}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE)
        return sum(float(value) for value in found)

    def rss_anon_bytes(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"RssAnon:\s+(\d+) kB", status).group(1)) * 1024

    def thread_seconds(self):
        """{a thread's name: its processor time}, threads of the same name added up."""
        ticks, seconds = os.sysconf("SC_CLK_TCK"), {}
        for task in pathlib.Path(f"/proc/{self.process.pid}/task").iterdir():
            name, fields = (task / "stat").read_text().split("(", 1)[1].rsplit(")", 1)
            user, system = fields.split()[11:13]
            seconds[name] = seconds.get(name, 0.0) + (int(user) + int(system)) / ticks
        return seconds


def forerun(model, *options, prefix=()):
    return Process([*prefix, FORERUN, "serve", model, "--port", "PORT", "--served-model-name", "model",
                    *options])


def llama_server(file, parallel, tokens_each, threads, prefix=()):
    """The peer's fastest build with a slot for each of `parallel` requests."""
    binaries = pathlib.Path(output(ROOT / "bench/peers/build_llama_cpp").strip())
    return Process([*prefix, binaries / "llama-server", "--model", file, "--host", "127.0.0.1", "--port",
                    "PORT", "--parallel", parallel, "--ctx-size", parallel * tokens_each, "--cont-batching",
                    "--flash-attn", "on", "--threads", threads, "--threads-batch", threads, "--no-ui",
                    "--log-disable"])


def call(url, body=None):
    """What is answered to a POST of `body`, or a GET where there is none."""
    request = urllib.request.Request(url, None if body is None else json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=REQUEST_SECONDS) as answer:
        return json.load(answer)


def words(draw, count):
    return " ".join(draw.choices(WORDS, k=count))


def completion(prompt, tokens, stream=True):
    """A request that both servers understand, greedy and of just `tokens` tokens."""
    body = {"model": "model", "prompt": prompt, "max_tokens": tokens, "temperature": 0,
            "ignore_eos": True, "stream": stream}
    if stream:
        body["stream_options"] = {"include_usage": True}
    return body


def send_load(server, bodies, concurrency, prefix=(), details=False):
    """The client's report, with the server's processor time during it, by thread."""
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        file.writelines(json.dumps(body) + "\n" for body in bodies)
        file.flush()
        before = server.thread_seconds()
        report = json.loads(output(*prefix, LOAD_CLIENT, server.url + "/v1/completions", file.name,
                                   "--concurrency", concurrency, *(["--details"] if details else [])))
        after = server.thread_seconds()
    report["server_cpu_seconds"] = {name: round(seconds - before.get(name, 0.0), 2)
                                    for name, seconds in sorted(after.items())
                                    if seconds - before.get(name, 0.0) >= 0.01}
    return report


def warm_up(server, concurrency, prefix=()):
    draw = random.Random(0)
    send_load(server, [completion(words(draw, 20), 8) for _ in range(concurrency)], concurrency, prefix)
