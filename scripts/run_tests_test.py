"""What the test runner makes of the output of test programs, and how suites add up."""

import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

sys.dont_write_bytecode = True
SCRIPTS = Path(__file__).resolve().parent
sys.path.insert(0, str(SCRIPTS))
from tally import Tally, read_all  # noqa: E402
from test_cases import Case, cases_in, cases_of  # noqa: E402

loader = SourceFileLoader("run_tests", str(SCRIPTS / "run_tests"))
run_tests = module_from_spec(spec_from_loader("run_tests", loader))
loader.exec_module(run_tests)

GOOGLE = """\
[ RUN      ] A.Passes
[       OK ] A.Passes (0 ms)
[ RUN      ] A.Fails
x.cc:1: Failure
[  FAILED  ] A.Fails (2 ms)
[ RUN      ] A.Skips/avx2
x.cc:2: Skipped
instruction set absent: avx2
[  SKIPPED ] A.Skips/avx2 (0 ms)
[ RUN      ] A.EndsTheProgram
"""
UNITTEST = """\
test_a (__main__.X.test_a) ... ok
test_b (__main__.X.test_b)
What it does. ... FAIL
test_c (__main__.X.test_c) ... skipped 'no /dev/full'
"""
RUST = "running 2 tests\ntest a::b ... ok\ntest a::c ... FAILED\n\ntest result: FAILED. 1 passed\n"


def entry(status, output):
    case = xml.etree.ElementTree.Element("testcase", name="x", status=status)
    xml.etree.ElementTree.SubElement(case, "system-out").text = output
    return case


def outcomes(cases):
    return [case.outcome for case in cases]


class Cases(unittest.TestCase):
    def test_google(self):
        cases = cases_in(GOOGLE)
        self.assertEqual(outcomes(cases), ["passed", "failed", "skipped", "failed"])
        self.assertEqual(cases[2].reason, "instruction set absent: avx2")
        self.assertEqual(outcomes(cases_in(GOOGLE + "  YOU HAVE 2 DISABLED TESTS"))[4:],
                         ["skipped"] * 2)

    def test_unittest(self):
        self.assertEqual([(case.outcome, case.reason) for case in cases_in(UNITTEST)],
                         [("passed", ""), ("failed", ""), ("skipped", "no /dev/full")])

    def test_rust(self):
        self.assertEqual(outcomes(cases_in(RUST)), ["passed", "failed"])

    def test_a_failure_outside_the_cases_counts(self):
        passing = "[ RUN      ] A.B\n[       OK ] A.B (0 ms)\n"
        self.assertEqual(outcomes(cases_of(entry("run", passing))), ["passed"])
        self.assertEqual(outcomes(cases_of(entry("fail", passing + "LeakSanitizer: 8 bytes"))),
                         ["passed", "failed"])
        self.assertEqual(outcomes(cases_of(entry("fail", ""))), ["failed"])

    def test_a_program_without_a_case_has_shown_nothing(self):
        for output in ("[==========] Running 0 tests from 0 test suites.", "Ran 0 tests in 0.0s",
                       "running 0 tests"):
            self.assertEqual(outcomes(cases_of(entry("run", output))), ["failed"])
        self.assertEqual(outcomes(cases_of(entry("run", "a script"))), ["passed"])


class Counts(unittest.TestCase):
    CASES = [Case("a", "passed"), Case("b", "skipped", "no model"),
             Case("c", "skipped", "instruction set absent: amx"),
             Case("d", "skipped", "device absent: GPU")]

    def test_skips_are_allowed_outside_ci(self):
        self.assertEqual(run_tests.count(self.CASES, in_ci=False)[0].line(),
                         "1 passed, 0 failed, 3 skipped")

    def test_in_ci_only_for_what_the_machine_lacks(self):
        tally, failed, _ = run_tests.count(self.CASES, in_ci=True)
        self.assertEqual(tally.line(), "1 passed, 1 failed, 2 skipped")
        self.assertEqual(failed[0].reason, "skipped in CI: no model")

    def test_one_instruction_set_leaves_out_the_cases_of_others(self):
        filtered = run_tests.environment("avx512")["GTEST_FILTER"]
        sanitized = run_tests.environment("avx512", "asan")["GTEST_FILTER"]
        self.assertEqual(sanitized, "-SameTokensOnSmollm2.*:" + filtered.lstrip("-"))
        for mine, other in (("*/avx512", "*/avx512_vnni"), ("*/avx512_f16", "*/avx512_vnni_f16")):
            self.assertIn(other, filtered.removeprefix("-").split(":"))
            self.assertNotIn(mine, filtered.removeprefix("-").split(":"))


class Tallies(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def summed(self, *goals):
        """(status, last line) of tally.py on the folder."""
        finished = subprocess.run([sys.executable, SCRIPTS / "tally.py", self.folder, *goals],
                                  capture_output=True, text=True)
        return finished.returncode, finished.stdout.splitlines()[-1]

    def test_suites_add_up(self):
        Tally(3, 0, 1, 2.0).write("release", self.folder)
        Tally(2, 0, 0, 1.0).write("asan", self.folder)
        self.assertEqual(list(read_all(self.folder)), ["release", "asan"])
        self.assertEqual(self.summed("test=0", "deep=0"), (0, "5 passed, 0 failed, 1 skipped"))

    def test_a_goal_that_stopped_early_fails(self):
        Tally(3).write("release", self.folder)
        self.assertEqual(self.summed("test=0", "deep=2"), (1, "3 passed, 1 failed, 0 skipped"))

    def test_a_failed_case_counts_once(self):
        Tally(3, 1).write("release", self.folder)
        self.assertEqual(self.summed("test=2", "deep=0"), (1, "3 passed, 1 failed, 0 skipped"))

    def test_nothing_run_is_no_success(self):
        self.assertEqual(self.summed(), (1, "0 passed, 0 failed, 0 skipped"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
