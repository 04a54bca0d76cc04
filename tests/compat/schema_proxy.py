"""A proxy that holds what a server answers to OpenAI's own OpenAPI description.

    schema_proxy.py DESCRIPTION REPORT UPSTREAM

Prints its URL. Every answer to a path of the description is validated, and every event of a stream,
and goes through as it came; one that the description does not allow is a line of the file REPORT,
and at its end (SIGTERM) another says how many were held to which schema.
"""
import collections
import http.client
import http.server
import json
import signal
import sys
import threading
import urllib.parse

import yaml
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

PREFIX = "/v1"
# What the description says of streams, it says in words.
STREAMS = {"/chat/completions": "CreateChatCompletionStreamResponse",
           "/completions": "CreateCompletionResponse"}
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host"}


class Description:
    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            self.document = yaml.load(file, yaml.CSafeLoader)
        self.registry = Registry().with_resource(
            "urn:openai", Resource(contents=self.document, specification=DRAFT202012))
        self.validators = {}

    def validator(self, pointer):
        if pointer not in self.validators:
            self.validators[pointer] = Draft202012Validator(
                {"$ref": f"urn:openai#{pointer}"}, registry=self.registry)
        return self.validators[pointer]

    def template(self, path):
        """The path of the description that this one is an instance of."""
        parts = path.split("/")
        for template in sorted(self.document["paths"], key=lambda one: one.count("{")):
            theirs = template.split("/")
            if len(theirs) == len(parts) and all(
                    a == b or a.startswith("{") for a, b in zip(theirs, parts, strict=True)):
                return template
        return None

    def schema(self, path, method, status, streamed):
        """A pointer to the schema of an answer; none where the description has none."""
        template = self.template(path)
        if template is None:
            return None
        if status >= 400:
            return "/components/schemas/ErrorResponse"
        if streamed:
            return f"/components/schemas/{STREAMS[template]}"
        escaped = template.replace("~", "~0").replace("/", "~1")
        return (f"/paths/{urllib.parse.quote(escaped, safe='~')}/{method.lower()}/responses/{status}"
                "/content/application~1json/schema")


class Judge:
    def __init__(self, description, report):
        self.description, self.report = description, report
        self.counts, self.lock = collections.Counter(), threading.Lock()

    def judge(self, path, method, status, body, streamed=False):
        pointer = self.description.schema(path, method, status, streamed)
        if pointer is None:
            return
        with self.lock:
            self.counts[pointer] += 1
            for error in self.description.validator(pointer).iter_errors(json.loads(body)):
                self.tell(path, status, streamed, error)

    def tell(self, path, status, streamed, error):
        # Of the branches of an anyOf the one that comes furthest says what is wrong.
        while error.context:
            error = max(error.context, key=lambda one: len(one.absolute_path))
        place = ".".join(map(str, error.absolute_path))
        self.write({"path": path, "status": status, "event": streamed, "at": place,
                    "fault": error.message[:200]})

    def tell_counts(self):
        with self.lock:
            self.write({"held": self.counts})

    def write(self, line):
        self.report.write(json.dumps(line) + "\n")
        self.report.flush()


def handler(upstream, judge):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            connection = http.client.HTTPConnection(upstream, timeout=120)
            connection.request(self.command, self.path, body or None, {
                name: value for name, value in self.headers.items()
                if name.lower() not in HOP_BY_HOP})
            answer = connection.getresponse()
            try:
                if answer.getheader("Content-Type", "").startswith("text/event-stream"):
                    self.pass_stream(answer)
                else:
                    self.pass_whole(answer)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True
            finally:
                connection.close()

        def head(self, answer):
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in HOP_BY_HOP:
                    self.send_header(name, value)

        def described(self):
            path = urllib.parse.urlsplit(self.path).path
            return path.removeprefix(PREFIX) if path.startswith(PREFIX) else None

        def pass_whole(self, answer):
            body = answer.read()
            self.head(answer)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            if self.described() and "json" in answer.getheader("Content-Type", ""):
                judge.judge(self.described(), self.command, answer.status, body)

        def pass_stream(self, answer):
            self.head(answer)
            self.send_header("Connection", "close")
            self.end_headers()
            self.close_connection = True
            for line in answer:
                self.wfile.write(line)
                self.wfile.flush()
                data = line.decode().removeprefix("data:").strip()
                if line.startswith(b"data:") and data != "[DONE]" and self.described():
                    judge.judge(self.described(), self.command, 200, data, streamed=True)

        do_GET = do_POST = do_DELETE = do_PUT = forward

        def log_message(self, *_):
            pass

    return Handler


def main(description, report, upstream):
    with open(report, "a", encoding="utf-8") as file:
        judge = Judge(Description(description), file)
        http.server.ThreadingHTTPServer.request_queue_size = 64  # clients come many at a time
        server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), handler(urllib.parse.urlsplit(upstream).netloc, judge))
        server.daemon_threads = True
        signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()
        judge.tell_counts()


if __name__ == "__main__":
    main(*sys.argv[1:])
