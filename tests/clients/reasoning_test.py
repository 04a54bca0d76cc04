"""Models that think first: what they thought stands apart from what they say."""
import sys
import unittest

sys.dont_write_bytecode = True
import serving  # noqa: E402
from strict import strict  # noqa: E402

import reciting_model  # noqa: E402

# Thoughts of earlier answers are left out, as templates of such models do.
MESSAGES = ("{% for m in messages %}<|start|>{{ m['role'] }}: "
            "{{ m['content'].split('</think>')[-1] }}<|end|>{% endfor %}")
CUE = "<|start|>{{ messages[-1]['content'][-1] }}"
# One template opens the thoughts itself, with the other it is the model that does.
OPENED = MESSAGES + "{% if add_generation_prompt %}<|start|>assistant: <think>\n{% endif %}"
NOT_OPENED = MESSAGES + "{% if add_generation_prompt %}" + CUE + "{% endif %}"


class Thinking:
    def messages(self):
        return [{"role": "user", "content": "What is two and two? T"}]

    def test_an_answer(self):
        answer = strict(self.client.chat.completions.create(
            model="served", messages=self.messages()))
        message = answer.choices[0].message
        self.assertEqual(message.reasoning_content.strip(), "Let me see.")
        self.assertEqual(message.content.strip(), "Four.")

    def test_a_stream(self):
        thought, said = "", ""
        with self.client.chat.completions.create(
                model="served", messages=self.messages(), stream=True) as stream:
            for event in stream:
                delta = strict(event).choices[0].delta
                new = getattr(delta, "reasoning_content", None) or ""
                self.assertFalse(new and said, "a thought after the answer began")
                thought += new
                said += delta.content or ""
        self.assertEqual((thought.strip(), said.strip()), ("Let me see.", "Four."))

    def test_thoughts_that_do_not_end(self):
        choice = strict(self.client.chat.completions.create(
            model="served", messages=self.messages(), max_tokens=3)).choices[0]
        self.assertEqual(choice.finish_reason, "length")
        self.assertTrue(choice.message.reasoning_content)
        self.assertFalse(choice.message.content)


class Opened(Thinking, serving.TestCase):
    @classmethod
    def model_file(cls):
        return reciting_model.model(
            {"\n": ["Let", " me", " see", ".\n</thi", "nk>\n\nFo", "ur."]}, OPENED)


class NotOpened(Thinking, serving.TestCase):
    @classmethod
    def model_file(cls):
        return reciting_model.model(
            {"T": ["<thi", "nk>\nLet me", " see", ".\n</thi", "nk>\n\nFo", "ur."]}, NOT_OPENED)


if __name__ == "__main__":
    unittest.main(verbosity=2)
