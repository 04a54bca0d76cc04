"""`forerun heads`: a store made by hand, in a folder and where a model's name says."""
import json
import os
import stat
import sys
import unittest

sys.dont_write_bytecode = True
import forerun  # noqa: E402
import tiny_head  # noqa: E402
import tiny_model  # noqa: E402
from forerun import run  # noqa: E402

WEIGHTS = "00000000deadbeef"


class Heads(forerun.TestCase):
    def setUp(self):
        super().setUp()
        self.store = self.folder / "learning" / "tiny"
        (self.store / "heads").mkdir(parents=True)
        self.write_target()
        self.add_head(1)
        self.add_head(2, parent=1)
        self.add_head(3, parent=2, trained_tokens=9000)
        self.tell(kind="verdict", passed=True, acceptance_length=1.42, reason="it is faster")
        self.tell(kind="published", version=1)
        self.tell(kind="verdict", passed=True, acceptance_length=1.6, reason="it is \x1b[2J faster")
        self.tell(kind="published", version=2, records=77)
        self.tell(kind="watch", version=2, verdict="keep", records=80)
        (self.store / "CURRENT").write_text("2\n")

    def write_target(self, **changes):
        (self.store / "target.json").write_text(json.dumps(
            {"fingerprint": WEIGHTS, "vocab_size": 320, "d_model": tiny_model.D_MODEL, **changes}))

    def add_head(self, version, **changes):
        folder = self.store / "heads" / f"{version:06}"
        self.write_head(folder)
        entry = {"version": version, "parent": 0, "vocabulary": 1, "created": 1_700_000_000,
                 "trained_tokens": 4096, "conversations": [1, 90], "weights": WEIGHTS,
                 "metrics": {"loss": 0.5}, "traffic": [], **changes}
        (folder / "head.json").write_text(json.dumps(entry))

    @staticmethod
    def write_head(folder, **changes):
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(tiny_head.config(**changes)))
        (folder / "model.safetensors").write_bytes(tiny_head.safetensors())

    def tell(self, **event):
        with open(self.store / "events.jsonl", "a", encoding="utf-8") as events:
            events.write(json.dumps(event) + "\n")

    def events(self):
        return [json.loads(line) for line in (self.store / "events.jsonl").read_text().splitlines()]

    def heads(self, *arguments):
        return run("heads", *arguments, "--store", self.store, TZ="UTC")

    def output(self, *arguments):
        result = self.heads(*arguments)
        self.assertEqual((result.returncode, result.stderr), (0, ""), arguments)
        return result.stdout

    def current(self):
        return json.loads(self.output("list", "--json"))["current"]

    def test_list(self):
        rows = [line.split() for line in self.output("list").splitlines()]
        self.assertEqual(rows, [
            ["Version", "Parent", "Created", "Trained", "on", "Acceptance", "Verdict"],
            ["1", "–", "2023-11-14", "22:13", "4096", "tokens", "1.42", "passed"],
            ["*", "2", "1", "2023-11-14", "22:13", "4096", "tokens", "1.60", "passed,", "kept"],
            ["3", "2", "2023-11-14", "22:13", "9000", "tokens", "–", "–"]])
        found = json.loads(self.output("list", "--json"))
        self.assertEqual(found["current"], 2)
        self.assertEqual([head["version"] for head in found["heads"]], [1, 2, 3])
        self.assertEqual(found["heads"][1]["watch"], "keep")

    def test_show(self):
        text = self.output("show", 2)
        self.assertRegex(text, r"\n  parent +1\n")
        self.assertRegex(text, r"\n  metrics\.loss +0\.5\n")
        self.assertRegex(text, r"\n  verdict\.acceptance_length +1\.6\n")
        self.assertIn(str(self.store / "heads" / "000002"), text)
        self.assertNotIn("\x1b", text)
        found = json.loads(self.output("show", 3, "--json"))
        self.assertEqual((found["trained_tokens"], found["verdict"]), (9000, None))
        self.assert_fails(self.heads("show", 4), 1, "000004")
        self.assert_fails(self.heads("show", 0), 2, "0 is not a whole number from 1")

    def test_activate(self):
        self.assertEqual(self.output("activate", 3), "head 3 drafts now\n")
        self.assertEqual(self.current(), 3)
        event = self.events()[-1]
        self.assertGreater(event.pop("time"), 1_700_000_000)
        self.assertEqual(event, {"kind": "activated", "version": 3, "head": 3, "previous": 2,
                                 "why": "user", "records": 80})
        self.assertEqual(self.output("activate", 0), "no head drafts now\n")
        self.assertEqual(self.current(), 0)
        before = self.events()
        self.assert_fails(self.heads("activate", 4), 1, "000004")
        self.assertEqual((self.current(), self.events()), (0, before))

    def test_rollback(self):
        self.assertEqual(self.output("rollback"), "head 1 drafts now\n")
        self.assertEqual(self.events()[-1]["why"], "rollback")
        self.assertEqual(self.output("rollback"), "no head drafts now\n")
        self.assertEqual(self.events()[-1]["previous"], 1)
        self.assert_fails(self.heads("rollback"), 1, "there is none to go back from")

    def test_export_and_import(self):
        out = self.folder / "out"
        self.assertEqual(self.output("export", 2, out), "")
        self.assertEqual(sorted(os.listdir(out)), ["config.json", "head.json", "model.safetensors"])
        self.assertEqual(stat.S_IMODE(out.stat().st_mode), 0o700)
        self.assert_fails(self.heads("export", 2, out), 1, "out")
        self.assertEqual(self.output("import", out), "4\n")
        found = json.loads(self.output("show", 4, "--json"))
        self.assertEqual((found["parent"], found["trained_tokens"]), (0, 4096))
        self.assertEqual(self.current(), 2)

    def test_import_of_a_checkpoint(self):
        checkpoint = self.folder / "checkpoint"
        self.write_head(checkpoint)
        self.assertEqual(self.output("import", checkpoint), "4\n")
        found = json.loads(self.output("show", 4, "--json"))
        self.assertEqual((found["parent"], found["weights"]), (0, WEIGHTS))
        self.assertEqual(self.output("activate", 4), "head 4 drafts now\n")
        self.write_head(self.folder / "other", vocab_size=999)
        self.assert_fails(self.heads("import", self.folder / "other"), 1,
                          "is for a model of 999 tokens and a hidden size of")
        self.assert_fails(self.heads("import", self.folder / "none"), 1, "none/config.json")

    def test_a_store_by_the_models_name(self):
        (self.folder / "models").mkdir()
        for model in ("tiny", self.folder / "models" / "tiny.gguf"):
            found = run("heads", "list", model, "--json", FORERUN_HOME=str(self.folder))
            self.assertEqual(json.loads(found.stdout)["current"], 2, found.stderr)
        self.assert_fails(run("heads", "list", "other", FORERUN_HOME=str(self.folder)), 1,
                          "learning/other yet")
        self.assertFalse((self.folder / "learning" / "other").exists())
        self.assert_fails(run("heads", "list"), 1, "or their folder with --store")
        self.assert_fails(self.heads("list", "tiny"), 2, "excludes")

    def test_a_target_that_cannot_be_read(self):
        for changes in ({"fingerprint": "xyz"}, {"fingerprint": 3}, {"vocab_size": "many"}):
            self.write_target(**changes)
            self.assert_fails(self.heads("list"), 1, f"target.json: {next(iter(changes))}")


if __name__ == "__main__":
    unittest.main(verbosity=2)
