"""The checks fail where they should: each is run on a small tree with one fault in it."""

import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
SCRIPTS = Path(__file__).resolve().parent
sys.path.insert(0, str(SCRIPTS))
from changed import LAST_COMMITS, changed_files  # noqa: E402

ROOT_CMAKE = "add_subdirectory(src/base)\nadd_subdirectory(src/tensor)\n"
GOOD = {
    "CMakeLists.txt": ROOT_CMAKE,
    "LICENSE": "Apache License\n",
    "src/base/CMakeLists.txt": "cc_library(NAME base SRCS a.cc HDRS a.h)\n",
    "src/base/a.h": "#pragma once\n",
    "src/base/a.cc": '#include "base/a.h"\n',
    "src/tensor/CMakeLists.txt": "cc_library(NAME tensor SRCS b.cc DEPS base)\n",
    "src/tensor/b.cc": '#include "base/a.h"\n',
}


class Tree(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)

    def write(self, files):
        for name, text in files.items():
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            (self.root / name).write_text(text)

    def check(self, script, changes):
        """(status, output) of a check on the good tree with changes."""
        self.write({**GOOD, **changes})
        finished = subprocess.run([SCRIPTS / script, self.root], capture_output=True, text=True)
        return finished.returncode, finished.stdout

    def assert_fault(self, script, changes, sentence):
        status, output = self.check(script, changes)
        self.assertEqual(status, 1, output)
        self.assertIn(sentence, output)

    def git(self, *arguments):
        subprocess.run(["git", "-C", self.root, "-c", "user.name=x", "-c", "user.email=x@x",
                        "-c", "init.defaultBranch=main", *arguments],
                       check=True, capture_output=True)

    def commit(self, name):
        self.write({name: name})
        self.git("add", "-A")
        self.git("commit", "-qm", name)


class CheckLayers(Tree):
    def test_good_tree(self):
        self.assertEqual(self.check("check_layers", {})[0], 0)

    def test_upward_include(self):
        self.assert_fault("check_layers", {"src/base/a.cc": '#include "tensor/b.h"\n'},
                          'src/base/a.cc:1: base includes "tensor/b.h", and tensor lies below it')

    def test_undeclared_dependency(self):
        self.assert_fault("check_layers",
                          {"src/tensor/CMakeLists.txt": "cc_library(NAME tensor SRCS b.cc)\n"},
                          "tensor lacks base in DEPS")

    def test_unknown_folder(self):
        self.assert_fault("check_layers", {"src/odd/c.cc": "\n"}, "odd is not in the ladder")
        self.assert_fault("check_layers", {"src/base/a.cc": '#include "zlib/z.h"\n'},
                          "names no folder of the ladder")

    def test_order_of_the_build(self):
        turned = "".join(reversed(ROOT_CMAKE.splitlines(keepends=True)))
        self.assert_fault("check_layers", {"CMakeLists.txt": turned}, "in another order")
        self.assert_fault("check_layers", {"CMakeLists.txt": "add_subdirectory(src/base)\n"},
                          "does not add src/tensor")


class CheckFiles(Tree):
    def test_good_tree(self):
        self.assertEqual(self.check("check_files", {})[0], 0)

    def test_empty_names(self):
        self.assert_fault("check_files", {"src/base/string_utils.h": ""}, "says nothing")
        self.assert_fault("check_files", {"src/base/a.h": "class PageManager {};\nclass Manager;\n"},
                          "src/base/a.h:2: the name Manager says nothing")

    def test_long_file(self):
        self.assert_fault("check_files", {"src/base/a.h": "\n" * 1001}, "1001 lines")

    def test_source_that_nothing_compiles(self):
        self.assert_fault("check_files", {"src/base/lost.cc": ""}, "no CMakeLists.txt names it")

    def test_licence(self):
        self.assert_fault("check_files", {"LICENSE": "mine\n"}, "the Apache-2.0 licence is missing")


class CheckIsaObjects(Tree):
    def objects(self, **sources):
        """A build folder with an object for each."""
        for name, text in sources.items():
            subprocess.run(["g++", "-O0", "-x", "c++", "-c", "-", "-o", self.root / f"{name}.cc.o"],
                           input=text, text=True, check=True)
        return self.check("check_isa_objects", {})

    def test_functions_of_their_own(self):
        use = "int own() { return 1; }\nint use() { return own(); }"
        status, output = self.objects(dot_avx2="static " + use, dot="inline " + use)
        self.assertEqual(status, 0, output)

    def test_shared_functions(self):
        shared = "inline int shared() { return 1; }\n"
        status, output = self.objects(dot_avx2=shared + "int a() { return shared(); }",
                                      dot=shared + "int b() { return shared(); }")
        self.assertEqual(status, 1, output)
        self.assertIn("shared() is shared between instruction sets", output)

    def test_a_folder_without_any(self):
        self.assertEqual(self.objects(dot="int b() { return 1; }")[0], 1)


class Changed(Tree):
    def setUp(self):
        super().setUp()
        os.environ.pop("FORERUN_BASE", None)
        self.git("init", "-q")
        self.commit("first")

    def test_a_branch_is_compared_with_main(self):
        self.git("checkout", "-qb", "mine")
        self.commit("second")
        self.write({"third": ""})
        self.assertEqual(changed_files(self.root), ({"second", "third"}, "main"))

    def test_main_is_compared_with_its_last_commits(self):
        for i in range(LAST_COMMITS):
            self.commit(f"later {i}")
        changed, reason = changed_files(self.root)
        self.assertEqual(len(changed), LAST_COMMITS)
        self.assertIn("commits", reason)

    def test_a_young_history_counts_every_file(self):
        self.assertEqual(changed_files(self.root), (None, "there is nothing to compare with"))

    def test_a_base_that_is_named(self):
        self.commit("second")
        os.environ["FORERUN_BASE"] = "HEAD~1"
        self.assertEqual(changed_files(self.root)[0], {"second"})
        os.environ["FORERUN_BASE"] = "nonesuch"
        self.assertIsNone(changed_files(self.root)[0])


class InstallDependencies(unittest.TestCase):
    """On a machine that has everything but libgtest-dev; its package manager is played."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.home = Path(folder.name)
        self.play("bin/dpkg-query",
                  '[ "${!#}" != libgtest-dev ] || [ -e "$HOME/installed" ] || exit 1\n'
                  "printf installed")
        self.play("bin/sudo", 'while [ "${1#-}" != "$1" ]; do shift; done; exec "$@"')
        self.play(".cargo/bin/cargo", "echo cargo 1.999.0")

    def play(self, name, script):
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/bash\n{script}\n")
        path.chmod(0o755)

    def install(self, apt_get):
        self.play("bin/apt-get", 'echo "$@" >>"$HOME/asked"\n' + apt_get)
        environment = dict(os.environ, HOME=str(self.home), CARGO_HOME=str(self.home / ".cargo"),
                           PATH=f"{self.home / 'bin'}:{os.environ['PATH']}")
        finished = subprocess.run([SCRIPTS / "install_dependencies"], env=environment,
                                  stdin=subprocess.DEVNULL, capture_output=True, text=True)
        asked = self.home / "asked"
        return finished, asked.read_text().splitlines() if asked.exists() else []

    def test_installs_what_is_missing_and_removes_nothing(self):
        finished, asked = self.install('touch "$HOME/installed"')
        self.assertEqual(finished.returncode, 0, finished.stderr)
        self.assertIn("installing with apt-get", finished.stdout)
        for request in asked:
            self.assertIn("--no-remove --no-install-recommends", request)
            self.assertTrue(request.endswith("install libgtest-dev"), request)
        finished, asked_again = self.install("exit 1")
        self.assertEqual((finished.returncode, asked_again), (0, asked))

    def test_refreshes_lists_that_offer_an_old_version(self):
        finished, asked = self.install(
            'case "${!#}" in update) touch "$HOME/refreshed" ;;\n'
            '*) [ ! -e "$HOME/refreshed" ] || touch "$HOME/installed" ;; esac')
        self.assertEqual(finished.returncode, 0, finished.stderr)
        self.assertEqual([request.split()[-1] for request in asked].count("update"), 1)

    def test_says_what_cannot_be_had(self):
        finished, _ = self.install("true")
        self.assertEqual(finished.returncode, 1)
        self.assertIn("still missing: libgtest-dev", finished.stderr)
        finished, _ = self.install("echo E: Unable to locate package; exit 100")
        self.assertEqual(finished.returncode, 1)
        self.assertIn("Unable to locate package", finished.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
