"""`forerun pull org/name` from a hub, and what goes wrong there: pull_hub_test.py FORERUN

The hub is fake_hub.py; nothing leaves this machine.
"""
import fcntl
import json
import os
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(__file__))
import forerun  # noqa: E402
import tiny_model  # noqa: E402
from fake_hub import COMMIT, Hub  # noqa: E402

WEIGHTS = bytes(range(256)) * 2000  # 512 kB
MODEL = {
    "config.json": b'{"model_type": "llama"}',
    "tokenizer.json": b"{}",
    "model.safetensors": WEIGHTS,
    "README.md": b"read me",
    "pytorch_model.bin": b"a pickle",
}


class PullFromHub(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.home = pathlib.Path(folder.name)
        self.hub = self.start(Hub(MODEL, large=["model.safetensors"]))
        self.folder = self.home / "models/hub/org/m" / COMMIT

    def start(self, hub):
        self.addCleanup(hub.close)
        return hub

    def run_forerun(self, *arguments, **environment):
        return forerun.run(*arguments, **{
            "FORERUN_HOME": str(self.home), "HF_ENDPOINT": self.hub.url, "HF_TOKEN": "",
            "FORERUN_HUB_TOKEN": "", "http_proxy": "", "HTTP_PROXY": "", "all_proxy": "",
            "ALL_PROXY": "", "no_proxy": "", **environment})

    def pull(self, name="org/m", *arguments, **environment):
        result = self.run_forerun("pull", name, *arguments, **environment)
        self.assertEqual(result.returncode, 0, result.stderr)
        return pathlib.Path(result.stdout.rstrip("\n"))

    def pull_error(self, name="org/m", *arguments, **environment):
        """The last line that a failed pull says."""
        result = self.run_forerun("pull", name, *arguments, **environment)
        self.assertEqual(result.returncode, 1, result.stdout + result.stderr)
        self.assertEqual(result.stdout, "")
        return result.stderr.strip().splitlines()[-1]

    def weights(self):
        return (self.folder / "model.safetensors").read_bytes()

    def assert_no_weights(self):
        self.assertFalse((self.folder / "model.safetensors").exists())
        self.assertFalse((self.folder / ".complete").exists())

    def on_weights(self, answer, once=True):
        """answer(handler) instead of the weights' bytes."""
        def fault(handler, path):
            if not path.endswith("/model.safetensors"):
                return False
            answer(handler)
            return "once" if once else True
        self.hub.faults.append(fault)

    def on_api(self, text, part, **headers):
        def fault(handler, path):
            return "/api/" in path and part in path and handler.reply(text, **headers)
        self.hub.faults.append(fault)

    # What is fetched, and where it is found.

    def test_fetches_a_model(self):
        self.assertEqual(self.pull(), self.folder)
        for name in ("config.json", "tokenizer.json", "model.safetensors"):
            self.assertEqual((self.folder / name).read_bytes(), MODEL[name])
        self.assertEqual(sorted(path.name for path in self.folder.iterdir()),
                         [".complete", "config.json", "model.safetensors", "tokenizer.json"])
        self.hub.requests.clear()
        self.assertEqual(self.pull(), self.folder)
        self.assertEqual(len(self.hub.requests), 1, "only the revision is asked for again")

    def test_other_commands_find_it(self):
        self.hub.files = {"q4/tiny.gguf": tiny_model.model(), "other.gguf": b"x"}
        path = self.pull("org/m:q4/tiny.gguf")
        self.assertEqual(path, self.folder / "q4/tiny.gguf")
        for name in ("org/m:q4/tiny.gguf", f"org/m:q4/tiny.gguf@{COMMIT}"):
            result = self.run_forerun("inspect", name)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertIn("llama", result.stdout)
        for name in ("org/m", "org/m:other.gguf", "org/m:q4/tiny.gguf@v2"):
            result = self.run_forerun("inspect", name)
            self.assertEqual(result.returncode, 1)
            self.assertIn(f"run: forerun pull {name}", result.stderr)

    def test_fetches_all_parts_of_a_split_file(self):
        self.hub.files = {f"x-0000{i}-of-00003.gguf": b"x" * i for i in (1, 2, 3)}
        path = self.pull("org/m:x-00002-of-00003.gguf")
        self.assertEqual(path.name, "x-00002-of-00003.gguf")
        self.assertEqual(len(list(self.folder.iterdir())), 3)

    def test_pins_the_revision(self):
        self.assertEqual(self.pull("org/m@refs/pr/7"), self.folder)
        self.assertEqual(self.hub.requests[0][0], "/api/models/org/m/revision/refs%2Fpr%2F7")
        self.hub.requests.clear()
        self.pull(f"org/m@{COMMIT}")
        self.assertEqual(self.hub.requests, [], "a commit does not change")
        self.assertEqual((self.home / "models/hub/org/m/refs/refs%2Fpr%2F7").read_text(), COMMIT + "\n")

    def test_reads_a_list_of_many_pages(self):
        self.hub.page_size = 2
        self.pull()
        self.assertEqual(self.weights(), WEIGHTS)

    def test_lists_gguf_files(self):
        self.hub.files = {"a-Q4.gguf": bytes(3_000_000), "a-Q8.gguf": bytes(6_000_000)}
        sentence = self.pull_error()
        self.assertIn("name one, as in org/m:a-Q4.gguf", sentence)
        self.assertIn("a-Q4.gguf (3 MB), a-Q8.gguf (6 MB)", sentence)
        self.assertEqual(self.hub.file_requests(), [])

    def test_fetches_no_pickles(self):
        self.hub.files = {"config.json": b"{}", "pytorch_model.bin": b"x"}
        self.assertIn("opening a pickle runs the code in it", self.pull_error())
        self.assertIn("is a pickle", self.pull_error("org/m:pytorch_model.bin"))
        self.assertEqual(self.hub.file_requests(), [])

    def test_repairs_what_was_changed(self):
        self.pull()
        (self.folder / "model.safetensors").write_bytes(WEIGHTS[::-1])
        self.pull()
        self.assertEqual(self.weights(), WEIGHTS[::-1], "sizes alone are not looked at")
        self.pull("org/m", "--verify")
        self.assertEqual(self.weights(), WEIGHTS)

    # The network.

    def test_goes_on_after_a_break(self):
        self.on_weights(lambda handler: handler.send_file(WEIGHTS, stop_after=100_000))
        self.pull()
        self.assertEqual(self.weights(), WEIGHTS)
        resumed = self.hub.headers_of("model.safetensors")
        self.assertEqual(len(resumed), 2)
        self.assertNotIn("Range", resumed[0])
        self.assertEqual(resumed[1]["If-Range"], '"v1"')
        begin = int(resumed[1]["Range"].removeprefix("bytes=").removesuffix("-"))
        self.assertTrue(0 < begin <= 100_000, begin)

    def test_goes_on_in_the_next_pull(self):
        self.on_weights(lambda handler: handler.send_file(WEIGHTS, stop_after=0), once=False)
        self.hub.faults.insert(0, lambda handler, path: path.endswith(".safetensors")
                               and handler.send_file(WEIGHTS, stop_after=200_000) and "once")
        self.assertIn("cannot fetch the file 'model.safetensors'", self.pull_error())
        self.assert_no_weights()
        self.assertEqual((self.folder / "model.safetensors.part").read_bytes(), WEIGHTS[:200_000])
        self.hub.faults.clear()
        self.hub.requests.clear()
        self.pull()
        self.assertEqual(self.weights(), WEIGHTS)
        self.assertEqual([headers.get("Range") for headers in self.hub.headers_of("model.safetensors")],
                         ["bytes=200000-"])
        self.assertEqual([path for path in self.folder.iterdir() if "part" in path.name], [])

    def test_begins_anew_where_there_are_no_ranges(self):
        self.hub.ranges = False
        self.on_weights(lambda handler: handler.send_file(WEIGHTS, stop_after=100_000))
        self.pull()
        self.assertEqual(self.weights(), WEIGHTS)

    def test_begins_anew_when_the_file_is_another(self):
        def other(handler):
            handler.send_file(bytes(len(WEIGHTS)), etag='"v0"', stop_after=100_000)
        self.on_weights(other)
        self.pull()
        self.assertEqual(self.weights(), WEIGHTS)

    def test_begins_anew_when_a_part_is_of_another_file(self):
        self.folder.mkdir(parents=True)
        (self.folder / "model.safetensors.part").write_bytes(bytes(1000))
        (self.folder / "model.safetensors.part.etag").write_text('"v1"\n')
        self.pull()
        self.assertEqual(self.weights(), WEIGHTS)

    def test_begins_anew_after_a_part_without_an_etag(self):
        self.folder.mkdir(parents=True)
        for size in (1000, len(WEIGHTS) + 1):
            (self.folder / "model.safetensors.part").write_bytes(bytes(size))
            self.hub.requests.clear()
            self.pull("org/m", "--verify")
            self.assertEqual(self.weights(), WEIGHTS)
            self.assertTrue(all("Range" not in headers for _, headers in self.hub.requests))
            (self.folder / "model.safetensors").unlink()

    def test_takes_no_other_range_than_it_asked_for(self):
        self.on_weights(lambda handler: handler.send_file(WEIGHTS, stop_after=100_000))

        def other_range(handler):
            handler.reply(WEIGHTS[:10], 206, Content_Range="bytes 0-9/512000", ETag='"v1"')
        self.on_weights(other_range, once=False)
        self.assertIn("another part of the file", self.pull_error())
        self.assert_no_weights()

    def test_tries_again_after_a_servers_error(self):
        self.hub.faults.append(lambda handler, path: handler.reply("busy", 503) and "once")
        self.on_weights(lambda handler: handler.reply("busy", 500))
        self.on_weights(lambda handler: handler.reply("slowly", 429, Retry_After="1"))
        self.pull()
        self.assertEqual(self.weights(), WEIGHTS)

    def test_gives_up_after_some_tries(self):
        self.hub.faults.append(lambda handler, path: handler.reply("busy", 503))
        self.assertIn("HTTP status 503", self.pull_error())
        self.assertEqual(len(self.hub.requests), 4)

    def test_does_not_wait_for_ever(self):
        self.hub.faults.append(lambda handler, path: handler.reply("", 429, Retry_After="86400"))
        self.assertIn("asks to be left alone for 86400 s", self.pull_error())
        self.assertEqual(len(self.hub.requests), 1)

    def test_no_hub_there(self):
        self.assertIn("cannot fetch", self.pull_error(HF_ENDPOINT="http://127.0.0.1:9"))
        for endpoint in ("file:///tmp", "hub", "http://user@127.0.0.1/", "http://127.0.0.1/?x"):
            self.assertIn("HF_ENDPOINT must be", self.pull_error(HF_ENDPOINT=endpoint))

    def test_goes_through_a_proxy(self):
        self.pull(HF_ENDPOINT="http://hub.example", http_proxy=self.hub.url)
        self.assertTrue(self.hub.requests[0][0].startswith("http://hub.example/api/models/org/m/"))

    # The token.

    def test_token_goes_to_the_hub_alone(self):
        other = self.start(Hub(MODEL))
        self.on_weights(lambda handler: handler.reply(
            "", 302, Location=f"{other.url}/org/m/resolve/{COMMIT}/model.safetensors"))
        self.pull(HF_TOKEN="hf_secret")
        self.assertEqual(self.weights(), WEIGHTS)
        self.assertTrue(all(headers.get("Authorization") == "Bearer hf_secret"
                            for _, headers in self.hub.requests))
        self.assertEqual(len(other.requests), 1)
        self.assertNotIn("Authorization", other.requests[0][1])

    def test_token_comes_back_to_the_hub(self):
        self.hub.faults.append(lambda handler, path: path.endswith("/config.json") and handler.reply(
            "", 307, Location=f"/org/m/resolve/{COMMIT}/tokenizer.json") and "once")
        self.hub.files["config.json"] = self.hub.files["tokenizer.json"]
        self.pull(HF_TOKEN="other", FORERUN_HUB_TOKEN="mine")
        self.assertTrue(all(headers["Authorization"] == "Bearer mine"
                            for _, headers in self.hub.requests))

    def test_token_with_a_line_break(self):
        self.assertIn("HF_TOKEN has characters", self.pull_error(HF_TOKEN="a\r\nX: y"))

    def test_gated_and_unknown(self):
        answers = [
            (401, "GatedRepo", "gated or private: accept its terms"),
            (403, "GatedRepo", "gated or private: accept its terms"),
            (401, "RepoNotFound", "there is no org/m on"),
            (404, "RevisionNotFound", "there is no revision 'main' of org/m"),
        ]
        for status, code, sentence in answers:
            self.hub.faults = [lambda handler, path: handler.reply("", status, X_Error_Code=code)]
            self.assertIn(sentence, self.pull_error())
        self.hub.faults = [lambda handler, path: handler.reply("", 403)]
        self.assertIn("may not read it", self.pull_error(HF_TOKEN="x"))
        self.hub.faults.clear()
        self.assertIn("has no file 'x.gguf'", self.pull_error("org/m:x.gguf"))

    # Hubs that lie.

    def test_wrong_digest(self):
        self.on_weights(lambda handler: handler.send_file(WEIGHTS[::-1]), once=False)
        self.assertIn("has SHA-256", self.pull_error())
        self.assert_no_weights()
        self.assertFalse((self.folder / "model.safetensors.part").exists())
        self.hub.faults = [lambda handler, path: path.endswith("/config.json") and
                           handler.send_file(b'{"model_type": "LLAMA"}')]
        self.assertIn("'config.json' has the git id", self.pull_error())

    def test_wrong_length(self):
        self.on_weights(lambda handler: handler.send_file(WEIGHTS + b"x"), once=False)
        self.assertIn("512000 bytes", self.pull_error())
        self.assert_no_weights()
        # By chance the part is the whole file, when what was too much had not come yet.
        os.truncate(self.folder / "model.safetensors.part", 500_000)
        self.hub.faults.clear()
        self.on_weights(lambda handler: handler.send_file(WEIGHTS[:-1]), once=False)
        self.assertIn("cannot fetch the file 'model.safetensors'", self.pull_error())
        self.assert_no_weights()

    def test_more_bytes_than_were_announced(self):
        def chatty(handler):
            handler.send_response(200)
            handler.end_headers()
            for _ in range(100):
                handler.wfile.write(WEIGHTS)
            handler.break_off()
        self.on_weights(chatty, once=False)
        self.assertIn("bytes", self.pull_error())
        self.assert_no_weights()
        part = self.folder / "model.safetensors.part"
        self.assertTrue(not part.exists() or part.stat().st_size <= len(WEIGHTS))

    def test_names_that_leave_the_folder(self):
        for name in ("../../evil.json", "/etc/evil", "a//b", "a\\b", "x/../y", "a\nb", "", ".."):
            self.hub.files = {**MODEL, name: b"evil"}
            self.assertIn("would leave the model's folder", self.pull_error())
        self.assertEqual(self.hub.file_requests(), [])
        for name in ("mo del.gguf", "é.gguf", "-x.gguf", ".x.gguf"):
            self.hub.files = {name: b"x"}
            self.assertIn("no name of a model", self.pull_error("org/m:" + name))
        self.hub.files = {"model-a b.safetensors": b"", "model.safetensors.index.json": b"{}"}
        self.assertIn("no name that forerun gives", self.pull_error())
        self.assertEqual(self.hub.file_requests(), [])

    def test_commits_that_are_none(self):
        for commit in ("../../../../tmp/x", "main", "", COMMIT.upper(), None, ["x"]):
            self.hub.faults.clear()
            self.on_api(json.dumps({"sha": commit}), "/revision/")
            self.assertIn("names no commit", self.pull_error())

    def test_lists_that_are_none(self):
        entry = {"type": "file", "path": "model.safetensors", "size": 1, "oid": "0" * 40}
        for text, sentence in [
            ("{}", "no array"),
            ("[", "invalid JSON"),
            ("[" * 100_000, "nested deeper"),
            ("[1, null, []]", "holds no model"),
            (json.dumps([{**entry, "size": -1}]), "without a size and a digest"),
            (json.dumps([{**entry, "size": 2**50}]), "without a size and a digest"),
            (json.dumps([{**entry, "oid": "../x"}]), "without a size and a digest"),
            (json.dumps([{**entry, "lfs": {"oid": "x", "size": 1}}]), "without a size and a digest"),
            (json.dumps([{**entry, "path": 3}]), "would leave"),
            (json.dumps([entry] * 20_001), "too many files"),
        ]:
            self.hub.faults.clear()
            self.on_api(text, "/tree/")
            self.assertIn(sentence, self.pull_error(), text[:100])

    def test_an_answer_without_end(self):
        def endless(handler, path):
            handler.send_response(200)
            handler.end_headers()
            try:
                while True:
                    handler.wfile.write(b'["x",' * 100_000)
            except OSError:
                handler.close_connection = True
            return True
        self.hub.faults.append(endless)
        self.assertIn("more came than the 16777216 bytes", self.pull_error())

    def test_redirects(self):
        for location in (f"{self.hub.url}/again", "file:///etc/passwd", "ftp://127.0.0.1/x",
                         "http://user:password@127.0.0.1/"):
            self.hub.faults = [lambda handler, path: handler.reply("", 302, Location=location)]
            self.assertRegex(self.pull_error(), "redirected more than 10 times|is not followed")
        self.hub.faults.clear()
        self.on_api("[]", "/tree/", Link='<http://hub.example/x>; rel="next"')
        self.assertIn("goes on at another host", self.pull_error())

    # The machine.

    def test_too_little_room(self):
        entry = {"type": "file", "path": "model.safetensors", "size": 2**45,
                 "oid": "0" * 40, "lfs": {"oid": "0" * 64, "size": 2**45}}
        self.on_api(json.dumps([entry]), "/tree/")
        self.assertIn("make room", self.pull_error())
        self.assertEqual(self.hub.file_requests(), [])

    def test_two_at_once(self):
        folder = self.home / "models/hub/org/m"
        folder.mkdir(parents=True)
        lock = os.open(folder, os.O_RDONLY)
        self.addCleanup(os.close, lock)
        fcntl.flock(lock, fcntl.LOCK_EX)
        self.assertIn("another forerun pull of org/m is at work", self.pull_error())

    def test_a_folder_that_cannot_be_made(self):
        (self.home / "models").write_text("a file")
        self.assertIn("cannot create the folder", self.pull_error())

    def test_names_that_are_none(self):
        for name in ("../m", "org/..", "org/m:../x", "/org/m", "org/m@a/../b", "org/m/x", "o rg/m"):
            self.assertIn("no name of a model", self.pull_error(name))
        self.assertEqual(self.hub.requests, [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
