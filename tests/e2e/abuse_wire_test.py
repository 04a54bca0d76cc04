"""`forerun serve` and clients that do not speak HTTP well: slow, half open, oversized, garbled."""
import json
import sys
import time
import unittest

sys.dont_write_bytecode = True
import server_process  # noqa: E402
from server_process import eventually  # noqa: E402

BODY = json.dumps({"model": "tiny", "prompt": "a", "max_tokens": 1})
LENGTH = f"Content-Length: {len(BODY)}\r\n"
POST = "POST /v1/completions HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n"
MOST_BODY_BYTES = 1 << 20


class Wire(server_process.TestCase):
    options = ("--max-body-bytes", MOST_BODY_BYTES, "--body-seconds", 1)

    def raw(self, *pieces):
        """The answer to bytes as they are, or None when the connection ends without one."""
        with self.server.connect() as connection:
            try:
                connection.send(*pieces)
                return connection.answer()
            except ConnectionError:
                return None

    def assert_closed_or_refused(self, pieces, *statuses):
        """Nothing but a refusal, and the connection with whatever follows in it is given up."""
        with self.server.connect() as connection:
            try:
                connection.send(*pieces)
                answer = connection.answer()
                self.assertIn(answer.status, statuses or range(400, 506), answer)
                self.assertTrue(connection.ended(), "the connection stays after what nobody can read")
            except ConnectionError:
                pass

    def test_no_http(self):
        for bytes_of in (b"\r\n\r\n\r\n\r\n", b"hello\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
                         b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET /\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
                         b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
                         b"\0" * 100 + b"\r\n\r\n", bytes(range(256)) * 4 + b"\r\n\r\n",
                         b"GET / HTTP/1.1\r\nno colon\r\n\r\n", b"GET / HTTP/1.1\r\n: empty\r\n\r\n",
                         b"GET / HTTP/1.1\r\nHost: a\r\nX\0Y: z\r\n\r\n", b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
                         b"GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n", b"GET\x00 / HTTP/1.1\r\n\r\n",
                         b"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /\x80\xff HTTP/1.1\r\nHost: a\r\n\r\n"):
            with self.subTest(bytes_of=bytes_of[:40]):
                with self.server.connect() as connection:
                    connection.send(bytes_of)
                    connection.socket.shutdown(1)
                    # An answer that is none of success, or just the end.
                    self.assertTrue(connection.ended())
                    self.assertNotRegex(connection.unread, rb"^HTTP/1\.. 2")

    def test_lengths_that_contradict_or_are_none(self):
        for fields in ("Content-Length: -1\r\n", "Content-Length: 99999999999999999999\r\n",
                       "Content-Length: 18446744073709551615\r\n", "Content-Length: 9223372036854775807\r\n",
                       "Content-Length: 0x10\r\n", "Content-Length: +5\r\n", "Content-Length: a\r\n",
                       "Content-Length: 5, 6\r\n", "Content-Length: \r\n", LENGTH + "Content-Length: 1\r\n",
                       "Transfer-Encoding: chunked\r\n" + LENGTH, LENGTH + "Transfer-Encoding: chunked\r\n",
                       "Transfer-Encoding: gzip, chunked\r\n", "Transfer-Encoding: chunked, gzip\r\n",
                       "Transfer-Encoding: identity, chunked\r\n", "Transfer-Encoding: nope\r\n",
                       "Transfer-Encoding: xchunked\r\n"):
            with self.subTest(fields=fields):
                self.assert_closed_or_refused([POST, fields, "\r\n", BODY])

    def test_chunks(self):
        def chunked(*chunks):
            return [POST, "Transfer-Encoding: chunked\r\n\r\n", *chunks]

        size = f"{len(BODY):x}"
        for good in ([size, "\r\n", BODY, "\r\n0\r\n\r\n"], ["000" + size, ";a=b\r\n", BODY, "\r\n0\r\n\r\n"],
                     [size.upper(), "\r\n", BODY, "\r\n0\r\nTrailer: x\r\n\r\n"],
                     [*(f"1\r\n{letter}\r\n" for letter in BODY), "0\r\n\r\n"]):
            self.assertEqual(self.raw(*chunked(*good)).status, 200)
        for bad in (["-1\r\n"], ["xyz\r\n"], ["\r\n\r\n"], ["ffffffffffffffff\r\n", BODY],
                    ["fffffffffffffffff\r\n", BODY], ["7fffffffffffffff\r\n", BODY],
                    [size, "\r\n", BODY, "no end"], ["0x10\r\n"], ["5;" + "a" * 100_000, "\r\n"],
                    ["1" * 100_000, "\r\n"], ["1\r\na\r\n0\r\n" + "Trailer: x\r\n" * 100_000, "\r\n"]):
            with self.subTest(bad=bad[0][:20]):
                self.assert_closed_or_refused(chunked(*bad))

    def test_a_head_too_large(self):
        for pieces in (["GET /" + "a" * 100_000 + " HTTP/1.1\r\nHost: a\r\n\r\n"],
                       ["GET /?" + "a=b&" * 25_000 + " HTTP/1.1\r\nHost: a\r\n\r\n"],
                       ["GET / HTTP/1.1\r\nHost: a\r\nX: " + "a" * 100_000 + "\r\n\r\n"],
                       ["GET / HTTP/1.1\r\nHost: a\r\n" + "X: a\r\n" * 20_000 + "\r\n"],
                       ["G" * 100_000 + " / HTTP/1.1\r\n\r\n"],
                       ["GET / HTTP/1.1\r\nHost: a\r\n" + "X" * 10_000_000]):
            with self.subTest(head=pieces[0][:30]):
                self.assert_closed_or_refused(pieces, 400, 413, 414, 431)

    def test_a_body_too_large(self):
        large = '"' + "a" * (2 * MOST_BODY_BYTES) + '"'
        self.assert_closed_or_refused([POST, f"Content-Length: {len(large)}\r\n\r\n"], 413)
        self.assert_closed_or_refused([POST, f"Content-Length: {len(large)}\r\n\r\n", large], 413)
        chunks = "10000\r\n" + "a" * 0x10000 + "\r\n"
        self.assert_closed_or_refused([POST, "Transfer-Encoding: chunked\r\n\r\n", chunks * 32], 413)

    def test_a_body_of_just_the_limit(self):
        body = json.dumps({"model": "tiny", "prompt": "a", "max_tokens": 1, "unknown": ""})
        body = body[:-2] + "x" * (MOST_BODY_BYTES - len(body)) + body[-2:]
        self.assertEqual(self.server.post("/v1/completions", body).status, 200)
        self.assert_refused(self.server.post("/v1/completions", body + " "), status=413)

    def test_slow_bodies_do_not_hold_others_up(self):
        slow = [self.server.connect() for _ in range(50)]
        for connection in slow:
            connection.send(POST, LENGTH, "\r\n", BODY[:5])
        self.assert_answers_meanwhile()
        for connection in slow:
            with connection:
                self.assertTrue(connection.ended(), "a body may take a second, not for ever")
                self.assertRegex(connection.unread, rb"^$|^HTTP/1.1 408 ")

    def test_slow_heads_and_half_open_sockets(self):
        begin = time.monotonic()
        slow = [self.server.connect() for _ in range(100)]
        for connection in slow[:50]:  # the rest say nothing at all
            connection.send("GET /health HTTP/1.1\r\nX-Slow: ")
        drip = slow[0]
        while time.monotonic() < begin + 2:
            drip.send("a")  # never silent for long
            self.assert_answers_meanwhile()
            time.sleep(0.2)
        for connection in slow[1:]:
            with connection:
                self.assertTrue(connection.ended(), "a head may take some seconds, not for ever")
        drip.socket.close()

    def assert_answers_meanwhile(self):
        self.assertEqual(self.server.get("/health").status, 200)
        self.assertEqual(self.server.post("/v1/completions", BODY).status, 200)

    def test_resets_at_every_point(self):
        whole = (POST + LENGTH + "\r\n" + BODY).encode()
        for count in (0, 1, 10, len(whole) - len(BODY), len(whole) - 1, len(whole)):
            for end in ("reset", "close"):
                connection = self.server.connect()
                connection.send(whole[:count])
                connection.reset() if end == "reset" else connection.socket.close()

    def test_a_client_that_closes_its_side_still_gets_its_answer(self):
        with self.server.connect() as connection:
            connection.send(POST, LENGTH, "\r\n", BODY)
            connection.socket.shutdown(1)
            try:
                self.assertEqual(connection.answer().status, 200)
            except ConnectionError:
                pass  # taking it for gone is right as well

    def test_requests_one_after_the_other_in_one_piece(self):
        with self.server.connect() as connection:
            connection.send((POST + LENGTH + "\r\n" + BODY) * 5 + "GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertEqual([connection.answer().status for _ in range(6)], [200] * 6)

    def test_a_request_in_single_bytes(self):
        with self.server.connect() as connection:
            for letter in POST + LENGTH + "\r\n" + BODY:
                connection.send(letter)
            self.assertEqual(connection.answer().status, 200)

    def test_expectations(self):
        with self.server.connect() as connection:
            connection.send(POST, LENGTH, "Expect: 100-continue\r\n\r\n")
            self.assertEqual(connection.answer_head()[0], 100)
            connection.send(BODY)
            self.assertEqual(connection.answer().status, 200)
        self.assert_closed_or_refused(
            [POST, f"Content-Length: {2 * MOST_BODY_BYTES}\r\nExpect: 100-continue\r\n\r\n"], 413, 417)

    def test_connections_end_when_the_client_says_so(self):
        for head in ("GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
                     "GET /health HTTP/1.0\r\n\r\n"):
            with self.server.connect() as connection:
                connection.send(head)
                self.assertTrue(connection.ended())
                self.assertIn(b" 200 ", connection.unread[:20])

    def test_bytes_that_are_no_utf_8(self):
        for text in (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", b"a\x80"):
            for body in (b'{"model":"tiny","max_tokens":1,"prompt":"%s"}' % text,
                         b'{"model":"tiny","max_tokens":1,"prompt":"a","x":"%s"}' % text,
                         b'{"model":"tiny","max_tokens":1,"prompt":"a","%s":1}' % text):
                with self.subTest(body=body):
                    self.assert_refused(self.server.post("/v1/completions", body))

    def test_text_that_is_odd_but_legal(self):
        for text in ("\0", "\0" * 50, "\ufffe\uffff", "\U0010ffff", "\u202e", "<|end|>" * 20, "\r\n\r\n",
                     "data: [DONE]\n\n", "%s%n", "{{ 7*7 }}"):
            for stream in (False, True):
                with self.subTest(text=text, stream=stream):
                    answer = self.server.post("/v1/completions", {
                        "model": "tiny", "prompt": text, "max_tokens": 3, "echo": True, "stream": stream})
                    self.assertEqual(answer.status, 200, answer)
                    told = answer.events() if stream else [answer.json()]
                    echoed = "".join(choice["text"] for one in told for choice in one["choices"])
                    self.assertTrue(echoed.startswith(text.replace("<|end|>", "")) or "<|end|>" in text,
                                    echoed)

    def test_paths(self):
        for path in ("/nope", "/../../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/v1/../../x",
                     "/..%2f..%2fetc%2fpasswd", "/%00", "/%ff", "/%", "/%zz", "/v1/models/%2e%2e%2f",
                     "/v1/models/nope", "/v1/models/" + "a" * 5000, "/v1/models/a/b/c", "/static/../main.cc",
                     "/index.html/../../../../etc/passwd", "*", "http://evil/nope", "evil"):
            with self.subTest(path=path):
                answer = self.server.request("GET", path)
                self.assertIn(answer.status, (400, 404), answer)
                self.assertNotIn(b"root:", answer.body)
                self.assertIn("message", answer.json()["error"])

    def test_methods(self):
        for method, path in (("GET", "/v1/completions"), ("DELETE", "/v1/models"), ("PUT", "/generate"),
                             ("POST", "/health"), ("TRACE", "/health"), ("POST", "/metrics")):
            answer = self.server.request(method, path)
            self.assert_refused(answer, status=405)
            self.assertTrue(answer.headers["allow"])
        for method in ("CONNECT", "BREW", "get", "G" * 100):
            with self.server.connect() as connection:
                connection.send_request(method, "/health")
                connection.socket.shutdown(1)
                self.assertTrue(connection.ended())
                self.assertRegex(connection.unread, rb"^$|^HTTP/1.1 (400|405|501)")
        self.assertEqual(self.server.request("HEAD", "/health").status, 200)

    def test_a_request_id_is_no_way_into_the_head(self):
        for name in ("a\tb", "x" * 10_000, "é", "\"'<>", "${jndi:x}"):
            answer = self.server.get("/health", **{"X-Request-Id": name})
            self.assertNotIn("set-cookie", answer.headers)
            self.assertLess(len(answer.headers.get("x-request-id", "")), 1000)

    def test_queries(self):
        for query in ("?", "?a", "?a=%", "?%ff=%ff", "?" + "&" * 5000, "?a=" + "%00" * 100):
            self.assertIn(self.server.get("/health" + query).status, (200, 400))


class Connections(server_process.TestCase):
    options = ("--max-connections", 8, "--idle-seconds", 1)

    def test_no_more_than_may_be(self):
        held = [self.server.connect() for _ in range(30)]
        time.sleep(0.1)
        for connection in held:
            connection.socket.close()
        eventually(self.answers, "connections are taken again")

    def answers(self):
        try:
            return self.server.get("/health").status == 200
        except OSError:
            return False

    def test_an_idle_connection_is_closed(self):
        with self.server.connect() as connection:
            connection.send_request("GET", "/health")
            self.assertEqual(connection.answer().status, 200)
            self.assertTrue(connection.ended(20))


if __name__ == "__main__":
    unittest.main()
