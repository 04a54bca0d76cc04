"""That strict() refuses what it is for: a check that cannot fail shows nothing."""
import copy
import sys
import unittest

sys.dont_write_bytecode = True
from strict import strict  # noqa: E402

from openai._models import construct_type  # noqa: E402
from openai.types.chat import ChatCompletion  # noqa: E402

ANSWER = {
    "id": "chatcmpl-1", "object": "chat.completion", "created": 5, "model": "served",
    "choices": [{
        "index": 0, "finish_reason": "stop",
        "message": {"role": "assistant", "content": "a", "reasoning_content": "b"},
        "logprobs": {"content": [{"token": "a", "logprob": -1, "bytes": [97], "top_logprobs": []}]},
    }],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}


class Strict(unittest.TestCase):
    def read(self, change=lambda answer: None):
        answer = copy.deepcopy(ANSWER)
        change(answer)
        return strict(construct_type(type_=ChatCompletion, value=answer))

    def test_an_answer_as_it_should_be(self):
        self.assertEqual(self.read().choices[0].message.content, "a")

    def test_answers_that_are_not(self):
        def set_field(*path, value):
            def change(answer):
                for step in path[:-1]:
                    answer = answer[step]
                answer[path[-1]] = value
            return change

        for change in (
            lambda answer: answer.pop("id"),
            lambda answer: answer["choices"][0].pop("finish_reason"),
            set_field("created", value="5"),
            set_field("created", value=5.5),
            set_field("object", value="text_completion"),
            set_field("choices", 0, "finish_reason", value="eos"),
            set_field("choices", 0, "logprobs", "content", 0, "logprob", value=None),
            set_field("choices", 0, "message", "content", value=["a"]),
            set_field("choices", 0, "message", "thoughts", value="b"),
            set_field("usage", "cached", value=1),
        ):
            with self.assertRaises((ValueError, AssertionError)):
                self.read(change)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
