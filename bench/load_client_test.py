"""The load client against a server made up here, whose answers are known. Its path is the first
argument."""
import json
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

CLIENT = sys.argv.pop(1)
SECONDS = 60


def event(text):
    return f'data: {{"choices":[{{"text":"{text}"}}]}}\n\n'.encode()


USAGE = b'data: {"choices":[],"usage":{"completion_tokens":7}}\n\n'
HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


STREAM = [HEAD, chunk(event("a")), chunk(event("")), chunk(event("b") + event("c")), chunk(USAGE),
          chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"]
WHOLE = [b'HTTP/1.1 200 OK\r\nContent-Length: 35\r\n\r\n{"usage": {"completion_tokens": 9}}']
BUSY = [b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 4\r\n\r\nbusy"]
LAST = [b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + event("a") + USAGE]
CUT = [HEAD + chunk(event("a"))]


class Server:
    """Answers the requests in the order they come with those of `answers`: pieces, and whether the
    connection is closed behind them."""

    def __init__(self, answers):
        self.answers, self.lock, self.connections, self.bodies = list(answers), threading.Lock(), 0, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection, connection.makefile("rb") as reader:
            while reader.readline():
                length = 0
                while (line := reader.readline()) != b"\r\n":
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                body = reader.read(length)
                with self.lock:
                    self.bodies.append(body)
                    pieces, close = self.answers.pop(0)
                for piece in pieces:
                    connection.sendall(piece)
                if close:
                    return


class LoadClient(unittest.TestCase):
    def run_against(self, answers, concurrency=1):
        server = Server(answers)
        self.addCleanup(server.listener.close)
        with tempfile.NamedTemporaryFile("w") as file:
            file.writelines(f'{{"id":{i}}}\n' for i in range(len(answers)))
            file.flush()
            result = subprocess.run(
                [CLIENT, f"http://127.0.0.1:{server.port}/path", file.name, "--concurrency",
                 str(concurrency), "--details"],
                capture_output=True, text=True, timeout=SECONDS)
        self.assertEqual(result.returncode, 0, result.stderr)
        return json.loads(result.stdout), server

    def test_streams_and_whole_answers_on_one_connection(self):
        told, server = self.run_against([(STREAM, False), (WHOLE, False), (STREAM, False)])
        self.assertEqual((told["errors"], told["requests"], told["tokens"]), (0, 3, 7 + 9 + 7))
        self.assertEqual([len(one["arrivals"]) for one in told["answers"]], [3, 1, 3])
        self.assertEqual(told["inter_token_ms"]["count"], 4)
        self.assertEqual(server.connections, 1)
        self.assertEqual(server.bodies, [b'{"id":%d}' % i for i in range(3)])
        for one in told["answers"]:
            times = [one["begin"], *one["arrivals"], one["end"]]
            self.assertEqual(times, sorted(times))

    def test_as_many_connections_as_requests_at_a_time(self):
        told, server = self.run_against([(STREAM, False)] * 20, concurrency=5)
        self.assertEqual((told["errors"], told["tokens"]), (0, 140))
        self.assertLessEqual(server.connections, 5)

    def test_a_body_that_ends_with_its_connection(self):
        told, server = self.run_against([(LAST, True)] * 3)
        self.assertEqual((told["errors"], told["tokens"]), (0, 21))
        self.assertEqual(server.connections, 3)

    def test_what_is_no_whole_answer_of_200_is_an_error(self):
        told, _ = self.run_against([(BUSY, False), (CUT, True), (STREAM, False), ([b"nonsense\r\n"], True)])
        self.assertEqual((told["errors"], told["tokens"]), (3, 7))
        busy, cut, _, nonsense = told["answers"]
        self.assertEqual((busy["status"], busy["error"]), (429, "busy"))
        self.assertIn("closed before", cut["error"])
        self.assertIn("nonsense", nonsense["error"])

    def test_a_connection_closed_between_requests_is_made_anew(self):
        told, server = self.run_against([(STREAM, True), (STREAM, False)])
        self.assertEqual((told["errors"], told["tokens"]), (0, 14))
        self.assertEqual(server.connections, 2)

    def test_nobody_there_is_an_error_of_each(self):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        with tempfile.NamedTemporaryFile("w") as file:
            file.write("{}\n{}\n")
            file.flush()
            result = subprocess.run([CLIENT, f"http://127.0.0.1:{port}/", file.name],
                                    capture_output=True, text=True, timeout=SECONDS)
        self.assertEqual(json.loads(result.stdout)["errors"], 2)

    def test_bad_arguments_are_sentences(self):
        for url, file in (("ftp://127.0.0.1/", "/dev/null"), ("http://localhost:1/", "/dev/null"),
                          ("http://127.0.0.1:99999/", "/dev/null"), ("http://127.0.0.1:1/", "/dev/null")):
            result = subprocess.run([CLIENT, url, file], capture_output=True, text=True)
            self.assertEqual(result.returncode, 1)
            self.assertRegex(result.stderr, "^load_client: [^\n]+\n$")


if __name__ == "__main__":
    unittest.main()
