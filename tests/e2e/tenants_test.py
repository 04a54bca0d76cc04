"""`forerun serve` with keys: who is let in, and that nobody's text helps another."""
import json
import sys
import unittest

sys.dont_write_bytecode = True
import server_process  # noqa: E402
from server_process import eventually  # noqa: E402

A, B, ADMIN = "key-of-a", "key-of-b", "key-of-admin"
PROMPT = {"prompt": "The same words, long enough for more than a page of thirty-two tokens. " * 2,
          "max_tokens": 2, "temperature": 0}


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


class Tenants(server_process.TestCase):
    options = ("--api-key", A, "--api-key", B, "--admin-key", ADMIN)

    def tearDown(self):
        self.assertTrue(self.server.lives(), self.server.text())
        self.assertEqual(self.server.get("/health").status, 200)

    def cached(self, key, server=None, body=PROMPT, path="/v1/completions"):
        answer = (server or self.server).post(path, body, **bearer(key))
        self.assertEqual(answer.status, 200, answer)
        document = answer.json()
        if "meta_info" in document:
            return document["meta_info"]["cached_tokens"]
        return document["usage"]["prompt_tokens_details"]["cached_tokens"]

    def test_a_prefix_is_its_keys_own(self):
        self.assertEqual(self.cached(A), 0)
        self.assertGreater(self.cached(A), 32)
        self.assertEqual(self.cached(B), 0)
        self.assertGreater(self.cached(B), 32)
        self.assertEqual(self.cached(ADMIN), 0)

    def test_nor_by_another_way_in(self):
        chat = {"messages": [{"role": "user", "content": "Other words, " * 8}], "max_tokens": 2}
        self.assertEqual(self.cached(A, body=chat, path="/v1/chat/completions"), 0)
        self.assertEqual(self.cached(B, body=chat, path="/v1/chat/completions"), 0)
        text = {"text": "Some more words, " * 8, "sampling_params": {"max_new_tokens": 2}}
        self.assertEqual(self.cached(A, body=text, path="/generate"), 0)
        self.assertGreater(self.cached(A, body=text, path="/generate"), 32)
        self.assertEqual(self.cached(B, body=text, path="/generate"), 0)

    def test_what_is_not_to_be_stored_helps_nobody(self):
        body = {**PROMPT, "prompt": "Words to be forgotten at once. " * 5, "store": False}
        self.assertEqual(self.cached(A, body=body), 0)
        self.assertEqual(self.cached(A, body=body), 0)

    def test_prefixes_are_shared_where_the_operator_says_so(self):
        server = self.start(*self.options, "--share-prefix")
        self.assertEqual(self.cached(A, server), 0)
        self.assertGreater(self.cached(B, server), 32)

    def test_nobody_aborts_anothers_request(self):
        body = {"text": "a", "rid": "of-a", "sampling_params": {"max_new_tokens": 250, "n": 64,
                                                                "ignore_eos": True}}
        answers = []
        with self.server.connect() as connection:
            connection.send_request("POST", "/generate", json.dumps(body), bearer(A).items())
            for abort in ({"rid": "of-a"}, {"abort_all": True}):
                answers.append(self.server.post("/abort_request", abort, **bearer(B)).status)
            document = connection.answer().json()
        for choice in document if isinstance(document, list) else [document]:
            self.assertEqual(choice["meta_info"]["finish_reason"]["type"], "length")

    def test_every_path_asks_for_a_key(self):
        for method, path in (("POST", "/v1/completions"), ("POST", "/v1/chat/completions"),
                             ("POST", "/v1/embeddings"), ("GET", "/v1/models"), ("GET", "/v1/models/tiny"),
                             ("POST", "/tokenize"), ("POST", "/detokenize"), ("GET", "/tokenizer_info"),
                             ("POST", "/generate"), ("POST", "/abort_request"), ("POST", "/flush_cache"),
                             ("GET", "/server_info"), ("GET", "/model_info"), ("GET", "/health_generate"),
                             ("GET", "/metrics"), ("GET", "/version"), ("GET", "/nope")):
            with self.subTest(path):
                answer = self.server.request(method, path, "{}")
                self.assert_refused(answer, status=401)
                self.assertNotIn(A, answer.body.decode())
        self.assertEqual(self.server.get("/health").status, 200)

    def test_keys_that_are_none(self):
        for value in ("", "Bearer", "Bearer ", "Bearer  ", f"Bearer {A[:-1]}", f"Bearer {A}x", f"Bearer {A}\0",
                      f"Bearer {A.upper()}", f"Basic {A}", A, f"Bearer {A} {B}", f"Bearer {A},{B}",
                      "Bearer " + "x" * 10_000, f"Bearer \"{A}\"", "Bearer é"):
            with self.subTest(value[:30]):
                with self.server.connect() as connection:
                    connection.send(f"GET /v1/models HTTP/1.1\r\nHost: a\r\nAuthorization: {value}\r\n\r\n")
                    self.assertIn(connection.answer().status, (400, 401))
        for path in (f"/v1/models?api_key={A}", f"/v1/models?key={A}", f"/v1/models?Authorization=Bearer+{A}"):
            self.assert_refused(self.server.get(path), status=401)
        for key in (A, B, ADMIN):
            self.assertEqual(self.server.get("/v1/models", **bearer(key)).status, 200)
            self.assertEqual(self.server.get("/v1/models", Authorization=f"bearer {key}").status, 200)

    def test_what_changes_the_server_needs_the_admin_key(self):
        self.assert_refused(self.server.post("/flush_cache", {}, **bearer(A)), status=403)
        self.assertEqual(self.server.post("/flush_cache", {}, **bearer(ADMIN)).status, 200)

    def test_a_large_body_without_a_key_is_not_read(self):
        with self.server.connect() as connection:
            connection.send("POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 20000000\r\n\r\n{")
            self.assertEqual(connection.answer().status, 401)

    def test_no_page_of_elsewhere_may_call(self):
        answer = self.server.get("/v1/models", Origin="http://evil", **bearer(A))
        self.assertNotIn("access-control-allow-origin", answer.headers)
        preflight = self.server.request("OPTIONS", "/v1/completions", headers=(
            ("Origin", "http://evil"), ("Access-Control-Request-Method", "POST")))
        self.assertNotIn("access-control-allow-origin", preflight.headers)

    def test_pages_that_may_are_told_so_before_they_have_a_key(self):
        server = self.start(*self.options, "--allow-origin", "http://good")
        ask = (("Access-Control-Request-Method", "POST"),
               ("Access-Control-Request-Headers", "authorization,content-type"))
        good = server.request("OPTIONS", "/v1/completions", headers=(("Origin", "http://good"), *ask))
        self.assertIn(good.status, (200, 204))
        self.assertEqual(good.headers["access-control-allow-origin"], "http://good")
        self.assertIn("authorization", good.headers["access-control-allow-headers"].lower())
        for origin in ("http://evil", "http://good.evil", "http://goo", "null", "http://good:81", "*"):
            bad = server.request("OPTIONS", "/v1/completions", headers=(("Origin", origin), *ask))
            self.assertNotIn("access-control-allow-origin", bad.headers, origin)
        self.assertEqual(server.get("/v1/models", Origin="http://good").status, 401)
        answer = server.get("/v1/models", Origin="http://good", **bearer(A))
        self.assertEqual(answer.headers["access-control-allow-origin"], "http://good")

    def test_keys_of_a_file_and_keys_are_in_no_log(self):
        path = self.model.with_name("keys")
        path.write_text(f"# mine\n{A}\n\n{B}\n")
        server = self.start("--api-key-file", path, "--access-log", "--log-level", "debug")
        self.assertEqual(server.get("/v1/models", **bearer(B)).status, 200)
        self.assertEqual(server.get("/v1/models").status, 401)
        server.stop()
        self.assertNotIn(A, server.text())
        self.assertNotIn(B, server.text())


if __name__ == "__main__":
    unittest.main()
