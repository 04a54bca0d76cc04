"""`forerun serve` with more to do than it can, clients that go away, and its end of life."""
import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest

sys.dont_write_bytecode = True
import server_process  # noqa: E402
from server_process import SECONDS, eventually  # noqa: E402

CONTEXT = 65536
# Longer than any test looks at it.
ENDLESS = {"prompt": "a", "max_tokens": 60_000, "ignore_eos": True}
LONG_PROMPT = {"prompt": [97, 98, 99] * 20_000, "max_tokens": 1}  # some seconds of prefill
SHORT = {"prompt": "a", "max_tokens": 2}


def send(connection, body, path="/v1/completions", headers=()):
    connection.send_request("POST", path, json.dumps(body), headers)


class TestCase(server_process.TestCase):
    changes = {"llama__context_length": CONTEXT}

    @contextlib.contextmanager
    def held(self, server, count=1, body=None):
        """`count` requests under way for the time of the block."""
        with contextlib.ExitStack() as stack:
            connections = []
            for _ in range(count):
                connections.append(stack.enter_context(server.connect()))
                send(connections[-1], body or ENDLESS)
            eventually(lambda: sum(server.load()[:2]) >= count, "they run or wait")
            yield connections

    def assert_load(self, server, running, waiting):
        eventually(lambda: server.load()[:2] == (running, waiting),
                   f"{running} run and {waiting} wait: {server.load()}")

    def assert_empty(self, server):
        eventually(lambda: server.load() == (0, 0, 0), f"nothing is left: {server.load()}")


class Queue(TestCase):
    options = ("--max-sequences", 1, "--max-waiting", 2, "--kv-tokens", CONTEXT)

    def test_too_many_are_told_to_come_back(self):
        with self.held(self.server, 1):
            self.assert_load(self.server, 1, 0)
            with self.held(self.server, 2):
                self.assert_load(self.server, 1, 2)
                for path, body in (("/v1/completions", SHORT), ("/generate", {"text": "a"}),
                                   ("/v1/completions", {**SHORT, "stream": True}),
                                   ("/v1/chat/completions",
                                    {"messages": [{"role": "user", "content": "a"}]})):
                    answer = self.server.post(path, body)
                    self.assert_refused(answer, status=429)
                    self.assertGreaterEqual(int(answer.headers["retry-after"]), 1)
                self.assertEqual(self.server.get("/health").status, 200)
                self.assert_load(self.server, 1, 2)
        self.assert_empty(self.server)

    def test_of_many_prompts_all_are_taken_or_none(self):
        answer = self.server.post("/v1/completions", {"prompt": ["a"] * 50, "max_tokens": 1})
        self.assertIn(answer.status, (200, 400, 429), answer)
        self.assert_empty(self.server)

    def test_who_leaves_while_waiting_gives_up_the_place(self):
        with self.held(self.server, 1):
            self.assert_load(self.server, 1, 0)
            with self.held(self.server, 2) as waiting:
                self.assert_load(self.server, 1, 2)
                waiting[0].reset()
                self.assert_load(self.server, 1, 1)
                waiting[1].socket.close()
                self.assert_load(self.server, 1, 0)
        self.assert_empty(self.server)

    def test_a_storm(self):
        statuses, threads = [], []

        def storm():
            for i in range(20):
                answer = self.server.post("/v1/completions", {**SHORT, "stream": i % 2 == 0})
                statuses.append(answer.status)

        for _ in range(16):
            threads.append(threading.Thread(target=storm))
            threads[-1].start()
        for thread in threads:
            thread.join()
        self.assertEqual(len(statuses), 16 * 20)
        self.assertLessEqual(set(statuses), {200, 429})
        self.assertIn(200, statuses)


class Leaving(TestCase):
    options = ("--kv-tokens", 4 * CONTEXT)

    def test_in_the_middle_of_a_prompt(self):
        for end in ("reset", "close"):
            with self.held(self.server, 1, LONG_PROMPT) as (connection,):
                eventually(lambda: self.server.load()[2] > 0, "its prompt is being computed")
                connection.reset() if end == "reset" else connection.socket.close()
                self.assert_empty(self.server)

    def test_in_the_middle_of_an_answer(self):
        for body in (ENDLESS, {**ENDLESS, "stream": True}, {**ENDLESS, "n": 4},
                     {**ENDLESS, "stream": True, "n": 4, "logprobs": 2}):
            for end in ("reset", "close", "shutdown"):
                with self.subTest(body=body, end=end), self.server.connect() as connection:
                    send(connection, body)
                    if body.get("stream"):
                        connection.take_until(b"data: ")
                    else:
                        eventually(lambda: self.server.load()[0] > 0, "it runs")
                    if end == "reset":
                        connection.reset()
                    elif end == "close":
                        connection.socket.close()
                    else:
                        connection.socket.shutdown(socket.SHUT_RDWR)
                    self.assert_empty(self.server)

    def test_many_at_once(self):
        for _ in range(3):
            with self.held(self.server, 40):
                pass
            self.assert_empty(self.server)

    def test_an_abort_ends_the_answer_and_tells_what_there_was(self):
        with self.server.connect() as connection:
            send(connection, {"text": "a", "rid": "mine", "sampling_params": {
                "max_new_tokens": 60_000, "ignore_eos": True}}, "/generate")
            eventually(lambda: self.server.load()[0] > 0, "it runs")
            self.assertEqual(self.server.post("/abort_request", {"rid": "mine"}).status, 200)
            answer = connection.answer()
            self.assertEqual(answer.status, 200, answer)
            self.assertEqual(answer.json()["meta_info"]["finish_reason"]["type"], "abort")
        self.assert_empty(self.server)
        for body in ({"rid": "mine"}, {"rid": "unknown"}, {"abort_all": True}, {"rid": ""}):
            self.assertIn(self.server.post("/abort_request", body).status, (200, 400, 404))

    def test_a_slow_reader_holds_nobody_up_and_is_given_up(self):
        server = self.start("--max-buffered-bytes", 65536, "--kv-tokens", 4 * CONTEXT)
        fat = {**ENDLESS, "stream": True, "logprobs": 20}
        with server.connect(receive_bytes=4096) as connection:
            send(connection, fat)
            # Not whether it runs: it may be given up before anybody asks.
            eventually(lambda: server.figure("generation_tokens_total") > 0, "it has begun")
            self.assertEqual(server.post("/v1/completions", {**SHORT, "stream": True}).status, 200)
            self.assert_empty(server)  # nobody reads, so it ends before its tokens do
            eventually(connection.ended, "its connection is cut")
            self.assertNotIn(b"[DONE]", connection.unread)


class Stuck(TestCase):
    options = ("--stuck-seconds", 0.02, "--kv-tokens", 2 * CONTEXT)
    # Steps of 512 tokens, thousands of keys deep, take longer than that.
    changes = {"llama__context_length": CONTEXT}

    def test_health_tells_when_no_step_ends(self):
        self.assertEqual(self.server.get("/health").status, 200)
        with self.held(self.server, 1, LONG_PROMPT):
            eventually(lambda: self.server.get("/health").status == 503, "a step takes too long")
        self.assert_empty(self.server)
        self.assertEqual(self.server.get("/health").status, 200)

    def test_work_alone_is_not_stuck(self):
        server = self.start("--kv-tokens", 2 * CONTEXT)
        with self.held(server, 1, LONG_PROMPT):
            for _ in range(20):
                self.assertEqual(server.get("/health").status, 200)


class Ending(TestCase):
    options = None

    def begin_stream(self, server, body):
        connection = server.connect()
        self.addCleanup(connection.socket.close)
        send(connection, {**body, "stream": True})
        connection.take_until(b"data: ")
        return connection

    def test_what_runs_is_finished_and_nothing_new_is_taken(self):
        server = self.start("--drain-seconds", 100)
        # Sent before the signal on connections that stand, answered after it.
        idle = [server.connect() for _ in range(2)]
        running = self.begin_stream(server, {**ENDLESS, "max_tokens": 8000})
        server.signal(signal.SIGTERM)
        self.addCleanup(lambda: [connection.socket.close() for connection in idle])

        def refused():
            with server.connect() as connection:
                send(connection, SHORT)
                return connection.answer().status == 503
        eventually(refused, "new requests are refused")
        for connection, (method, path) in zip(idle, (("GET", "/health"), ("POST", "/generate"))):
            connection.send_request(method, path, json.dumps({"text": "a"}))
            self.assertEqual(connection.answer().status, 503)
        while b"[DONE]" not in running.unread:
            self.assertTrue(running.receive(), "the stream was cut")
        self.assertEqual(server.end(), 0)
        self.assertRegex(running.unread, rb'"finish_reason": ?"length"')

    def test_the_drain_has_an_end(self):
        server = self.start("--drain-seconds", 0.5)
        running = self.begin_stream(server, ENDLESS)
        begin = time.monotonic()
        server.signal(signal.SIGTERM)
        self.assertEqual(server.end(), 0)
        self.assertGreater(time.monotonic() - begin, 0.4)
        self.assertTrue(running.ended())

    def test_a_second_signal_ends_it_at_once(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            server = self.start("--drain-seconds", 100)
            running = self.begin_stream(server, {**ENDLESS, "n": 4})
            server.signal(number)
            eventually(lambda: self.health(server) == 503, "it drains")
            server.signal(number)
            server.end()  # with whatever status, but long before the answers' end
            self.assertTrue(running.ended())

    @staticmethod
    def health(server):
        try:
            return server.get("/health").status
        except OSError:
            return None

    def test_idle_it_ends_at_once(self):
        server = self.start("--drain-seconds", 100)
        with server.connect() as silent, server.connect() as half:
            half.send("POST /v1/completions HTTP/1.1\r\nContent-Length: 100\r\n\r\n{")
            server.signal(signal.SIGINT)
            self.assertEqual(server.end(), 0)
            self.assertTrue(silent.ended())

    def test_the_port_in_use_is_a_sentence(self):
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            result = subprocess.run(
                [server_process.forerun.COMMAND, "serve", self.model, "--port",
                 str(other.getsockname()[1])],
                capture_output=True, text=True, timeout=SECONDS, stdin=subprocess.DEVNULL)
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertRegex(result.stderr, r"forerun: .*in use")


if __name__ == "__main__":
    unittest.main()
