"""What the official client raises when the server says no."""
import sys
import unittest

sys.dont_write_bytecode = True
import serving  # noqa: E402

import openai  # noqa: E402
import reciting_model  # noqa: E402

MESSAGES = [{"role": "user", "content": "Say H"}]


class Errors(serving.TestCase):
    @classmethod
    def model_file(cls):
        return reciting_model.model({"H": ["Hello"]})

    def refused(self, kind=openai.BadRequestError, **options):
        with self.assertRaises(kind) as caught:
            self.client.chat.completions.create(
                **{"model": "served", "messages": MESSAGES, **options})
        error = caught.exception
        self.assertEqual(set(error.body), {"message", "type", "param", "code"})
        self.assertTrue(error.body["message"])
        self.assertTrue(error.type)
        self.assertTrue(error.request_id)
        return error

    def test_a_model_that_is_not_served(self):
        error = self.refused(openai.NotFoundError, model="gpt-9")
        self.assertEqual((error.code, error.param), ("model_not_found", "model"))
        self.assertIn("gpt-9", error.message)

    def test_fields_that_are_wrong(self):
        for field, value in (
            ("messages", []), ("messages", "hello"), ("messages", [{"role": "user"}]),
            ("messages", [{"role": "wizard", "content": "x"}]),
            ("temperature", -1), ("temperature", "hot"), ("top_p", 1.5), ("n", 0), ("n", 100_000),
            ("max_tokens", -1), ("max_tokens", 1.5), ("seed", "x"), ("stop", [1]),
            ("logit_bias", {"x": 1}), ("logit_bias", {"1": 1000}), ("top_logprobs", 1000),
            ("presence_penalty", 5), ("frequency_penalty", -5), ("stream_options", 3),
        ):
            error = self.refused(**{"logprobs": True, field: value})
            self.assertEqual((error.param or "").split(".")[0].split("[")[0], field, error)
            self.assertEqual(error.type, "invalid_request_error")

    def test_a_conversation_longer_than_the_context(self):
        error = self.refused(messages=[{"role": "user", "content": "word " * 2000}])
        self.assertEqual(error.code, "context_length_exceeded")
        self.assertIn(str(reciting_model.CONTEXT), error.message)

    def test_a_path_that_is_not_there(self):
        with self.assertRaises(openai.NotFoundError):
            self.client.get("/none", cast_to=object)
        with self.assertRaises(openai.APIStatusError) as caught:
            self.client.get("/chat/completions", cast_to=object)
        self.assertEqual(caught.exception.status_code, 405)
        self.assertIn("POST", caught.exception.response.headers["Allow"])

    def test_requests_carry_an_id(self):
        raw = self.client.models.with_raw_response.list(extra_headers={"X-Request-Id": "mine-1"})
        self.assertEqual(raw.headers["X-Request-Id"], "mine-1")


class Keys(serving.TestCase):
    options = ("--api-key", "first", "--api-key", "second", "--max-body-bytes", 4096)

    @classmethod
    def model_file(cls):
        return reciting_model.model({"H": ["Hello"]})

    def test_who_is_let_in(self):
        for key in ("first", "second"):
            self.assertTrue(self.new_client(api_key=key).models.list().data)
        for key in ("third", "firs", "first,second"):
            with self.assertRaises(openai.AuthenticationError) as caught:
                self.new_client(api_key=key).models.list()
            self.assertEqual(caught.exception.code, "invalid_api_key")

    def test_a_body_above_the_limit(self):
        client = self.new_client(api_key="first")
        with self.assertRaises(openai.APIStatusError) as caught:
            client.completions.create(model="served", prompt="x" * 5000)
        self.assertEqual(caught.exception.status_code, 413)


if __name__ == "__main__":
    unittest.main(verbosity=2)
