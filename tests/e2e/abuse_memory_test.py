"""`forerun serve` and bodies made to take its memory or its threads' time, and too few files."""
import contextlib
import json
import resource
import sys
import threading
import time
import unittest

sys.dont_write_bytecode = True
import abuse_text_test  # noqa: E402
import overload_test  # noqa: E402
import server_process  # noqa: E402
from server_process import eventually  # noqa: E402

MOST_BODY_BYTES = 32 << 20
MOST_GROWTH = 768 << 20
GOOD = '"prompt":"a","max_tokens":1'


def names(count, length=0):
    return ",".join(f'"{i:0{length}}":0' for i in range(count))


BODIES = {
    "a million names": "{%s,%s}" % (GOOD, names(1_000_000)),
    "a million names further in": '{%s,"metadata":{%s}}' % (GOOD, names(1_000_000)),
    "a million biases": '{%s,"logit_bias":{%s}}' % (GOOD, names(1_000_000)),
    "long names that are nearly alike": '{%s,"x":{%s}}' % (GOOD, names(20_000, 1_000)),
    "many objects of many names": '{%s,"x":[%s]}' % (GOOD, ",".join(["{%s}" % names(2_000)] * 1_500)),
    "ten million lists": '{%s,"x":[%s]}' % (GOOD, ",".join(["[]"] * 10_000_000)),
    "ten million objects": '{%s,"x":[%s]}' % (GOOD, ",".join(["{}"] * 10_000_000)),
    "ten million texts": '{%s,"x":[%s]}' % (GOOD, ",".join(['""'] * 10_000_000)),
    "sixteen million numbers": '{%s,"x":[%s]}' % (GOOD, ",".join(["0"] * 16_000_000)),
    "a prompt of sixteen million ids": '{"max_tokens":1,"prompt":[%s]}' % ",".join(["0"] * 16_000_000),
    "a million prompts": '{"max_tokens":1,"prompt":[%s]}' % ",".join(['"a"'] * 1_000_000),
    "choices without number": '{"max_tokens":1,"n":128,"prompt":[%s]}' % ",".join(['"a"'] * 100_000),
    "a long text": '{"max_tokens":1,"prompt":"%s"}' % ("a" * 30_000_000),
    "a text of escapes": '{"max_tokens":1,"prompt":"%s"}' % ("\\u0001" * 5_000_000),
    "a text in no alphabet": '{"max_tokens":1,"prompt":"%s"}' % ("\U0001f600" * 7_000_000),
}


class Memory(server_process.TestCase):
    options = ("--max-body-bytes", MOST_BODY_BYTES)

    def test_large_bodies_hold_nobody_up(self):
        self.server.post("/v1/completions", "{%s}" % GOOD)
        before = self.server.rss_anon_bytes()
        for name, body in BODIES.items():
            with self.subTest(name), self.server.connect() as connection:
                connection.send_request("POST", "/v1/completions", body)
                begin, slowest, answers = time.monotonic(), 0.0, []
                waiting = threading.Thread(target=lambda: answers.append(connection.answer()))
                waiting.start()
                while waiting.is_alive():
                    asked = time.monotonic()
                    self.assertEqual(self.server.get("/health").status, 200)
                    slowest = max(slowest, time.monotonic() - asked)
                    time.sleep(0.02)
                self.assertIn(answers[0].status, (200, 400, 413, 429), answers[0])
                self.assertLess(time.monotonic() - begin, 20, "it burns a thread")
                self.assertLess(slowest, 2, "others wait for it")
        eventually(lambda: self.server.rss_anon_bytes() - before < MOST_GROWTH, "memory comes back")

    def test_bodies_that_are_never_whole_are_bounded_together(self):
        before = self.server.rss_anon_bytes()
        piece = b"a" * (1 << 20)
        with contextlib.ExitStack() as stack:
            for _ in range(60):
                connection = stack.enter_context(self.server.connect())
                connection.socket.settimeout(1)
                with contextlib.suppress(OSError):
                    connection.send("POST /v1/completions HTTP/1.1\r\nHost: a\r\n"
                                    f"Content-Length: {MOST_BODY_BYTES}\r\n\r\n", *[piece] * 31)
            self.assertLess(self.server.rss_anon_bytes() - before, MOST_GROWTH)
            self.assertEqual(self.server.get("/health").status, 200)
        # What they took is free again.
        answer = self.server.post("/v1/completions", "{%s}" % GOOD)
        self.assertEqual(answer.status, 200, answer)

    def test_too_few_files(self):
        server = self.start(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (48, 48)))
        held = [server.connect() for _ in range(100)]
        time.sleep(0.5)
        self.assertTrue(server.lives(), server.text())
        begin, used = time.monotonic(), server.processor_seconds()
        time.sleep(1)
        share = (server.processor_seconds() - used) / (time.monotonic() - begin)
        self.assertLess(share, 0.5, "it spins while it cannot accept")
        for connection in held:
            connection.socket.close()
        eventually(lambda: self.answers(server), "connections are taken again")

    @staticmethod
    def answers(server):
        try:
            return server.get("/health").status == 200
        except OSError:
            return False


class Grammars(server_process.TestCase):
    def test_what_is_compiled_and_refused_leaves_little(self):
        before = self.server.rss_anon_bytes()
        for fields in abuse_text_test.GRAMMARS.values():
            body = fields if isinstance(fields, str) else {"prompt": "a", "max_tokens": 2, **fields}
            self.assertIn(self.server.post("/v1/completions", body).status, (200, 400))
        self.assertLess(self.server.rss_anon_bytes() - before, 256 << 20)


class Leaving(overload_test.TestCase):
    options = ("--kv-tokens", 4 * overload_test.CONTEXT)

    def test_memory_comes_back(self):
        def many():
            with self.held(self.server, 30, {**overload_test.ENDLESS, "stream": True}):
                pass
            with self.held(self.server, 4, overload_test.LONG_PROMPT):
                pass
            self.assert_empty(self.server)
            return self.server.rss_anon_bytes()

        many()
        settled = many()
        self.assertLess(many() - settled, 32 << 20)


if __name__ == "__main__":
    unittest.main()
