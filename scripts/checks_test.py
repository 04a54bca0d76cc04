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


if __name__ == "__main__":
    unittest.main(verbosity=2)
