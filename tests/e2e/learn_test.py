"""A server that learns from what it answers: the answers stay as they are, whatever becomes of the
trainer and whichever head drafts."""
import json
import os
import pathlib
import re
import signal
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
import forerun  # noqa: E402
import server_process  # noqa: E402
import tiny_head  # noqa: E402
import tiny_model  # noqa: E402
from server_process import eventually  # noqa: E402

COMPLETIONS, CHAT = "/v1/completions", "/v1/chat/completions"


def wide_layers(d_ff=2048):
    """Layers that take long enough for recording to be cheap beside them: where it takes more than a
    hundredth of the time, fewer answers are recorded and training begins late."""
    changes = {"llama__feed_forward_length": d_ff}
    for layer in range(tiny_model.LAYERS):
        for name, shape in {"gate": [d_ff, tiny_model.D_MODEL], "up": [d_ff, tiny_model.D_MODEL],
                            "down": [tiny_model.D_MODEL, d_ff]}.items():
            changes[f"blk__{layer}__ffn_{name}__weight"] = ("F32", shape)
    return changes


def body(path, text, **more):
    said = {"prompt": text} if path == COMPLETIONS else {"messages": [{"role": "user", "content": text}]}
    return {**said, "max_tokens": 40, "ignore_eos": True, "temperature": 0, "return_token_ids": True, **more}


def ids_of(answer):
    """The tokens of an answer, streamed or whole."""
    assert answer.status == 200, answer
    is_stream = answer.headers["content-type"].startswith("text/event-stream")
    choices = [choice for document in (answer.events() if is_stream else [answer.json()])
               for choice in document["choices"]]
    return [token for choice in choices for token in choice.get("token_ids") or []]


def answers(server):
    """The tokens of answers of every kind, under the name of each."""
    found = {}
    for path in (COMPLETIONS, CHAT):
        for sampling in ({}, {"temperature": 0.8, "seed": 4}, {"temperature": 1.5, "seed": 5, "top_k": 20}):
            for stream in (False, True):
                answer = server.post(path, body(path, "abcd" * 8, stream=stream, **sampling))
                found[path, str(sampling), stream] = ids_of(answer)
    return found


def children(server):
    """Processes that any of its threads has started."""
    tasks = pathlib.Path(f"/proc/{server.process.pid}/task").iterdir()
    return [int(pid) for task in tasks for pid in (task / "children").read_text().split()]


def is_gone(pid):
    """Also where nobody asks what became of it."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


class TestCase(server_process.TestCase):
    options = None  # a server for each test, that learns in a folder of its own
    speculation = "head"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        plain = server_process.Server(cls.model, "--served-model-name", "tiny", "--speculation", "off")
        cls.expected = answers(plain)
        plain.stop()

    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = pathlib.Path(holder.name)
        self.store = self.folder / "learning"

    def learn(self, *options):
        # Half of the processors: what takes only the time that nothing else wants would wait for
        # other tests.
        return self.start("--learn", "--learn-dir", self.store, "--learn-cadence", 8, "--learn-share", 0.5,
                          "--learn-vocabulary", 64, "--speculation", self.speculation, *options)

    @staticmethod
    def status(server):
        return server.get("/forerun/learning").json()

    @staticmethod
    def events(server, **fields):
        """Those that have these fields, the oldest first."""
        return [event for event in server.get("/forerun/events?format=json&last=1000").json()
                if fields.items() <= event.items()]

    def event(self, server, count=1, **fields):
        """The `count`th of these, once it has come."""
        return eventually(lambda: self.events(server, **fields)[count - 1:], f"{count} of {fields}")[0]

    def await_status(self, server, condition, what):
        return eventually(lambda: condition(self.status(server)), what)

    def teach(self, server, condition, what):
        """Serves ever new conversations until the status is as it is to be."""
        draw = iter(range(10**6))

        def serve_some():
            for _ in range(8):
                ids_of(server.post(COMPLETIONS, body(COMPLETIONS, f"{os.getpid()}-{next(draw)}")))
            return condition(self.status(server))

        return eventually(serve_some, what)

    def assert_same_answers(self, server):
        self.assertEqual(answers(server), self.expected)


class Learning(TestCase):
    changes = wide_layers()

    def test_learns_from_what_it_answers(self):
        server = self.learn()
        self.assert_same_answers(server)
        self.await_status(server, lambda s: s["trainer_up"], "the trainer runs")
        self.teach(server, lambda s: s["trainer_step"] > 0, "a first step")
        self.teach(server, lambda s: s["verdicts"]["passed"] + s["verdicts"]["failed"] > 0, "a verdict")
        self.assert_same_answers(server)
        kinds = [event["kind"] for event in self.events(server)]
        self.assertEqual(kinds[:2], ["trainer", "vocabulary"])
        verdict = self.event(server, kind="verdict")
        self.assertGreaterEqual(verdict["conversations"], 64)
        self.assertGreater(verdict["trained_tokens"], 0)
        told = self.status(server)
        self.assertGreater(told["records"]["held_out"], 0)
        self.assertEqual((told["trainer_starts"], told["records"]["dropped"]), (1, 0))
        self.assertGreater(told["share"]["threads"], 0)
        server.stop()
        self.assertTrue((self.store / "trainer" / "state").exists())

    def test_goes_on_where_it_was(self):
        server = self.learn()
        step = self.teach(server, lambda s: s["trainer_step"], "a first step")
        server.stop()
        again = self.learn()
        self.assertEqual(self.events(again)[0]["kind"], "trainer")  # the first server's
        # From nothing, it would have to choose a vocabulary first.
        self.teach(again, lambda s: s["trainer_step"] > step, "a step behind the last one")
        self.assertEqual(len(self.events(again, kind="vocabulary")), 1)

    def test_a_killed_trainer_is_started_anew(self):
        server = self.learn()
        (killed,) = eventually(lambda: children(server), "a trainer")
        os.kill(killed, signal.SIGKILL)
        self.assert_same_answers(server)
        ended = self.event(server, kind="trainer", state="ended")
        self.assertEqual(ended["reason"], "signal 9")
        self.event(server, 2, kind="trainer", state="started")
        self.await_status(server, lambda s: s["trainer_up"] and s["trainer_starts"] == 2, "another")
        (other,) = children(server)
        self.assertNotEqual(other, killed)
        self.teach(server, lambda s: s["trainer_step"] > 0, "the other one learns")
        self.assert_same_answers(server)

    def test_stops_and_resumes(self):
        server = self.learn()
        off = server.post("/forerun/learning", {"enabled": False})
        self.assertEqual((off.status, off.json()["enabled"]), (200, False))
        self.event(server, kind="learning", enabled=False)
        self.assert_same_answers(server)
        for i in range(40):
            ids_of(server.post(COMPLETIONS, body(COMPLETIONS, f"unheard {i}")))
        self.assertGreater(self.status(server)["records"]["kept"], 0)
        server.post("/forerun/heads/0/activate", {})
        # Events count what was looked at.
        self.assertEqual(self.event(server, kind="activated")["records"], 0)
        self.assertEqual(server.post("/forerun/learning", {"enabled": True}).json()["enabled"], True)
        self.event(server, kind="learning", enabled=True)
        self.teach(server, lambda s: s["trainer_step"] > 0, "a first step")

    def test_requests_that_are_not_to_be_learned_from(self):
        server = self.learn()
        for path in (COMPLETIONS, CHAT):
            for i in range(3):
                ids_of(server.post(path, body(path, f"secret {i}", store=False)))
        # The count is told with an answer's end, if nobody reads it just then.
        self.teach(server, lambda s: s["records"]["opted_out"] == 6, "six were kept out")
        told = self.status(server)["records"]
        self.assertEqual(told["opted_out"], 6)
        self.assertIn('forerun_trace_records_total{state="opted_out"} 6',
                      server.get("/metrics").body.decode())

    def test_keeps_traces_in_a_folder_that_is_new(self):
        traces = self.folder / "traces"
        server = self.learn("--trace-dir", traces)
        self.assert_same_answers(server)
        eventually(lambda: list(traces.glob("*.trace")), "a file of traces")
        self.assertTrue((traces / "target.safetensors").exists())

    def test_one_learns_in_a_folder(self):
        server = self.learn()
        second = forerun.run("serve", self.model, "--port", 0, "--learn", "--learn-dir", self.store,
                             "--speculation", "head")
        self.assertEqual(second.returncode, 1)
        self.assertRegex(second.stderr, r"^forerun: another process learns in \S+; --learn-dir names [^\n]+\n$")
        self.assert_same_answers(server)

    def test_what_does_not_go_together(self):
        for status, sentence, options in (
                (1, "--learn has nobody to learn for with --speculation off", ["--speculation", "off"]),
                (1, "--learn and a draft model do not go together", ["--speculation", f"draft={self.model}"]),
                (1, "is no program that can be run", ["--trainer", self.model]),
                (1, "is no program that can be run", ["--trainer", self.folder]),
                (2, "--learn-discard", ["--learn-discard", -0.1]),
                (2, "--learn-share", ["--learn-share", "half"]),
                (2, "--learn-share", ["--learn-share", 0.95]),
                (2, "--learn-share", ["--learn-share", "0.5x"]),
                (2, "--learn-cadence", ["--learn-cadence", 7])):
            with self.subTest(options=options):
                refused = forerun.run("serve", self.model, "--port", 0, "--learn", "--learn-dir", self.store,
                                      *options)
                self.assertEqual(refused.returncode, status, refused.stderr)
                self.assertIn(sentence, refused.stderr)
        alone = forerun.run("serve", self.model, "--port", 0, "--speculation", "head")
        self.assertEqual(alone.returncode, 1)
        self.assertIn("speculation is head, which comes with --learn alone", alone.stderr)

    def test_the_trainer_ends_with_the_server(self):
        for ending in (signal.SIGTERM, signal.SIGKILL):
            server = self.learn()
            (trainer,) = eventually(lambda: children(server), "a trainer")
            server.signal(ending)
            server.process.wait(timeout=server_process.SECONDS)
            if ending == signal.SIGTERM:
                self.assertTrue(is_gone(trainer), "it was left behind")
            eventually(lambda: is_gone(trainer), "nobody writes to it any more")
            self.assertEqual(server.end(), 0 if ending == signal.SIGTERM else -ending)


class Heads(TestCase):
    # Where drafts have to pay, one of random weights is never believed in.
    speculation = "forced"

    def drafted(self, server):
        text = server.get("/metrics").body.decode()
        found = re.search(r'source_draft_tokens_total\{[^}]*source="eagle3"[^}]*\} (\S+)', text)
        return float(found.group(1)) if found else 0.0

    def import_head(self):
        """Into the store of a server that runs."""
        checkpoint = self.folder / "checkpoint"
        checkpoint.mkdir()
        (checkpoint / "config.json").write_text(json.dumps(tiny_head.config()))
        (checkpoint / "model.safetensors").write_bytes(tiny_head.safetensors())
        imported = forerun.run("heads", "import", checkpoint, "--store", self.store)
        self.assertEqual((imported.returncode, imported.stdout), (0, "1\n"), imported.stderr)

    def test_a_head_drafts_and_is_rolled_back(self):
        server = self.learn()
        self.assert_refused(server.post("/forerun/heads/1/activate", {}), "there is no head", status=404)
        self.assert_refused(server.post("/forerun/heads/rollback", {}), "no head drafts", status=409)
        self.import_head()
        asked = server.post("/forerun/heads/1/activate", {})
        self.assertEqual((asked.status, asked.json()), (202, {"asked": True, "version": 1}))
        self.await_status(server, lambda s: s["head_version"] == 1, "the head drafts")
        self.assertEqual(self.drafted(server), 0)
        self.assert_same_answers(server)
        self.assertGreater(self.drafted(server), 0)
        self.assertEqual(server.get("/forerun/heads").json()["current"], 1)
        # Training goes on from it: a vocabulary of its own is not waited for.
        self.teach(server, lambda s: s["trainer_step"] > 0, "a first step")
        self.assertEqual(server.post("/forerun/heads/rollback", {}).status, 202)
        rolled_back = self.event(server, kind="activated", why="rollback")
        self.assertEqual((rolled_back["version"], rolled_back["previous"]), (0, 1))
        self.await_status(server, lambda s: s["head_version"] == 0, "no head drafts")
        self.assert_same_answers(server)
        ids_of(server.post(CHAT, body(CHAT, "a last one")))
        drafted = self.drafted(server)
        self.assert_same_answers(server)
        self.assertEqual(self.drafted(server), drafted)

    def test_the_command_activates_a_head(self):
        server = self.learn()
        self.import_head()
        self.assertEqual(forerun.run("heads", "activate", 1, "--store", self.store).returncode, 0)
        self.await_status(server, lambda s: s["head_version"] == 1, "the head drafts")
        server.stop()
        again = self.learn()
        self.await_status(again, lambda s: s["head_version"] == 1, "the head drafts from the start")
        self.assert_same_answers(again)


if __name__ == "__main__":
    unittest.main(verbosity=2)
