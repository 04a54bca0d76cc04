"""`forerun chat` from outside, through a pipe and through a terminal."""
import json
import os
import re
import signal
import stat
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
import forerun  # noqa: E402
import tiny_model  # noqa: E402

# The answer is "AAAA…" until it is cut or interrupted.
ALWAYS_A = ("--logit-bias", "65=100")
# It is a row of As and Bs.
A_OR_B = (*ALWAYS_A, "--logit-bias", "66=100", "--top-k", "2", "--temperature", "20")


class ChatTest(forerun.TestCase):
    def setUp(self):
        super().setUp()
        self.model = self.write("tiny.gguf", tiny_model.model(llama__context_length=2048))

    def endless_model(self):
        """One whose answers take long enough to be interrupted."""
        return self.write("long.gguf", tiny_model.model(llama__context_length=200_000))


class ChatInPipe(ChatTest):
    def chat(self, stdin, *arguments):
        return forerun.run("chat", self.model, *arguments, stdin=stdin)

    def test_every_line_is_a_turn(self):
        result = self.chat("hello\n\n  \nand you?\n", "-n", 3, *ALWAYS_A)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stdout, "AAA\nAAA\n")
        turns = re.findall(r"prompt (\d+) tokens", result.stderr)
        # <|start|>user: hello<|end|><|start|>, then the answer and the next question.
        first = 14
        answer = len("assistant: AAA") + 1
        self.assertEqual([int(turn) for turn in turns], [first, first + answer + 17])

    def test_the_next_turn_reads_only_what_is_new(self):
        question = "x" * 500
        result = self.chat(f"{question}\nmore\n", "-n", 100, *ALWAYS_A)
        [first, second] = re.findall(
            r"^prompt (\d+) tokens(?:, (\d+) cached,)? in", result.stderr, re.MULTILINE)
        self.assertEqual(first[1], "")
        # Whole pages of 32 tokens, up to where this template puts text before an answer that was
        # not there when it was written.
        self.assertGreaterEqual(int(second[1]), 32 * (int(first[0]) // 32))
        self.assertLess(int(second[0]) - int(second[1]), 200)

    def test_same_answers_as_generate(self):
        chat = self.chat("hello\n", "-q", "-n", 20)
        generate = forerun.run("generate", self.model, "-q", "-n", 20, "-p", "hello")
        self.assertEqual(chat.stdout, generate.stdout)
        self.assertEqual(chat.stderr, "")
        more = ("-q", "-n", 20, "--system", "s", "--seed", 3, *A_OR_B)
        chat = self.chat("hello\n", *more)
        generate = forerun.run("generate", self.model, "-p", "hello", *more)
        self.assertEqual(set(chat.stdout), set("AB\n"))
        self.assertEqual(chat.stdout, generate.stdout)

    def test_types_of_keys_and_values(self):
        for kv_type in ("f16", "int8"):
            more = ("-q", "-n", 20, "--kv-type", kv_type)
            generate = forerun.run("generate", self.model, "-p", "hello", *more)
            self.assertEqual(self.chat("hello\n", *more).stdout, generate.stdout)
        self.assert_fails(self.chat("hello\n", "--kv-type", "f32"), 2, "it must be f16, bf16 or int8")

    def test_many_lines_in_one_message(self):
        saved = self.folder / "saved.json"
        result = self.chat(f'one\\\ntwo\n"""three\n/four\n"""\n/save {saved}\n', "-q", "-n", 1)
        self.assertEqual(result.returncode, 0, result.stderr)
        messages = json.loads(saved.read_text())["messages"]
        self.assertEqual([m["content"] for m in messages if m["role"] == "user"],
                         ["one\ntwo", "three\n/four"])
        self.assertEqual(stat.S_IMODE(saved.stat().st_mode), 0o600)

    def test_commands(self):
        saved = self.folder / "saved.json"
        result = self.chat(
            f"/system be brief\nhello\n/regenerate\n/save {saved}\n/save {saved}\n"
            "/reset\n/system\n/help\n/bye\nnever read\n",
            "-q", "-n", 4, *ALWAYS_A)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stdout, "AAAA\nAAAA\n")
        self.assertEqual(json.loads(saved.read_text())["messages"], [
            {"role": "system", "content": "be brief"}, {"role": "user", "content": "hello"},
            {"role": "assistant", "content": "AAAA"}])
        for told in ("(from now on;", "(at temperature 0 the answer stays the same)",
                     "(a new conversation)", "(the system message: be brief)", "/save FILE"):
            self.assertIn(told, result.stderr)

    def test_another_try_has_another_seed(self):
        tries = ["-q", "-n", 12, *A_OR_B, "--seed"]
        first, second = self.chat("hello\n/regenerate\n", *tries, 5).stdout.splitlines()
        self.assertNotEqual(first, second)
        self.assertEqual(second + "\n", self.chat("hello\n", *tries, 6).stdout)

    def test_commands_that_cannot_be(self):
        there = self.write("there.txt", "kept")
        result = self.chat(
            f"/sav x\n/regenerate\n/save\n/save {there}\n/save {self.folder}/no/where\n /hello\n",
            "-q", "-n", 1, *ALWAYS_A)
        self.assertEqual(result.returncode, 1)
        self.assertEqual(result.stdout, "A\n", "a message after the failures is answered")
        for sentence in ("there is no '/sav'; did you mean /save?", "there is no question to answer",
                         "/save needs a file's name", "there.txt': File exists",
                         "No such file or directory"):
            self.assertIn(f"{sentence}", result.stderr)
        self.assertEqual(result.stderr.count("forerun: "), 5)
        self.assertEqual(there.read_text(), "kept")

    def test_a_full_context_forgets_the_oldest_turns(self):
        model = self.write("short.gguf", tiny_model.model())
        result = forerun.run("chat", model, "-q", "-n", 20, *ALWAYS_A,
                             stdin="".join(f"question {i} {'x' * 40}\n" for i in range(12)))
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stdout, ("A" * 20 + "\n") * 12)
        self.assertRegex(
            result.stderr,
            r"^(\(the context of 256 tokens is full; the oldest turn is forgotten\)\n){2,}$")

    def test_messages_that_cannot_be(self):
        model = self.write("short.gguf", tiny_model.model())
        result = forerun.run("chat", model, "-q", "-n", 2, *ALWAYS_A,
                             stdin="x" * 300 + "\nhello\n")
        self.assertEqual(result.returncode, 1)
        self.assertEqual(result.stdout, "AA\n")
        self.assertEqual(
            result.stderr, "forerun: the message takes 309 tokens with what goes before it; there "
            "is room for 255: shorten it\n")
        no = self.write("no.gguf", tiny_model.model(
            tokenizer__chat_template="{{ raise_exception('no cats') }}"))
        self.assert_fails(forerun.run("chat", no, stdin="hello\n"), 1, "no cats")

    def test_models_that_cannot_talk(self):
        base = self.write("base.gguf", tiny_model.model(without=["tokenizer.chat_template"]))
        self.assert_fails(
            forerun.run("chat", base, stdin="hello\n"), 1,
            "the model has no chat template to talk by; forerun generate --raw continues plain text")
        mute = self.write("mute.gguf", tiny_model.model(without=["tokenizer.ggml.tokens"]))
        self.assert_fails(forerun.run("chat", mute, stdin=""), 1, "has no tokenizer")
        self.assert_fails(forerun.run("chat", self.model, "--temp", "1"), 2,
                          "did you mean --temperature?")

    def test_interrupted(self):
        process = subprocess.Popen(
            [forerun.COMMAND, "chat", self.endless_model(), "--kv-tokens", "200000", "-n", "0",
             *ALWAYS_A],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdin.write(b"hello\nnever read\n")
        process.stdin.flush()
        self.assertEqual(os.read(process.stdout.fileno(), 1), b"A")
        process.send_signal(signal.SIGINT)
        rest, told = process.communicate(timeout=forerun.SECONDS)
        self.assertEqual(process.returncode, 128 + signal.SIGINT)
        self.assertRegex(rest, rb"^A*\n$")
        self.assertIn(b"| interrupted", told)


class ChatOnTerminal(ChatTest):
    def chat(self, *arguments):
        return forerun.Terminal("chat", self.model, *arguments, *ALWAYS_A)

    def test_a_conversation(self):
        with self.chat("-n", 5) as terminal:
            terminal.shown(r"tiny, 2048 tokens of context; /help tells what there is\r\n")
            terminal.shown("> ")
            terminal.type("helo\x02l\n")  # Ctrl-B goes back by a letter
            self.assertIn("AAAAA\r\n", terminal.shown(r"prompt 14 tokens in .* \| cut by --max-tok"))
            terminal.shown("> ")
            terminal.type("größer\n")
            terminal.shown(r"prompt (\d+) tokens")
            terminal.shown("> ")
            terminal.type(f"/save {self.folder}/saved.json\n")
            terminal.shown(r"\(saved to")
            terminal.shown("> ")
            terminal.type_end()
            self.assertEqual(terminal.status(), 0)
        messages = json.loads((self.folder / "saved.json").read_text())["messages"]
        self.assertEqual([m["content"] for m in messages],
                         ["hello", "AAAAA", "größer", "AAAAA"])

    def test_the_arrow_brings_back_what_was_typed(self):
        with self.chat("-n", 2) as terminal:
            terminal.shown("> ")
            terminal.type("hello\n")
            terminal.shown("prompt 14 tokens")
            terminal.shown("> ")
            terminal.type("\x1b[A\n")
            terminal.shown("prompt 42 tokens")

    def test_ctrl_c_ends_the_answer_and_not_the_conversation(self):
        self.model = self.endless_model()
        with self.chat("-n", 0, "--kv-tokens", 200_000) as terminal:
            terminal.shown("> ")
            terminal.type("hello\n")
            terminal.shown("AAAA")
            terminal.type("\x03")
            terminal.shown(r"\| interrupted\r\n")
            terminal.shown("> ")
            # At the prompt it drops the line.
            terminal.type("never asked\x03")
            terminal.shown(r"\(Ctrl-D leaves\)")
            terminal.shown("> ")
            terminal.type("/help\n")
            terminal.shown("/regenerate")
            terminal.shown("> ")
            terminal.type("again\n")
            terminal.shown("AAAA")
            terminal.type("\x03")
            terminal.shown(r"\| interrupted\r\n")
            terminal.shown("> ")
            terminal.type("/exit\n")
            self.assertEqual(terminal.status(), 0)

    def test_a_message_of_many_lines(self):
        with self.chat("-n", 2) as terminal:
            terminal.shown("> ")
            terminal.type('"""he\n')
            terminal.shown(r"\. ")
            terminal.type('llo"""\n')
            terminal.shown("prompt 15 tokens")


if __name__ == "__main__":
    unittest.main(verbosity=2)
