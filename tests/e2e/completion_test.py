"""`forerun completion SHELL`: every command and option is in every script, and bash completes."""
import re
import shutil
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
import forerun  # noqa: E402
from forerun import run  # noqa: E402

SHELLS = ("bash", "zsh", "fish")


def commands_below(path=()):
    """Every command as the help tells: {path: names of its options}."""
    help_text = run(*path, "--help").stdout
    options = set()
    for line in help_text.splitlines():
        if match := re.match(r"  (-.*?)(?:  |$)", line):
            options.update(re.findall(r"(?<![\w-])--?[a-z][a-z0-9-]*", match.group(1)))
    found = {path: options}
    if "SUBCOMMAND" in help_text:
        for name in re.findall(r"^  ([a-z][a-z0-9]*)  ", help_text, re.MULTILINE):
            found.update(commands_below((*path, name)))
    return found


class Completion(forerun.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.commands = commands_below()
        cls.scripts = {shell: run("completion", shell).stdout for shell in SHELLS}

    def complete(self, *words):
        """What bash offers for the last of these words, in a folder with one file."""
        self.write("model.gguf", "")
        script = (self.scripts["bash"] + '\nCOMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _forerun; '
                  'printf "%s\\n" "${COMPREPLY[@]}"')
        done = subprocess.run(["bash", "--norc", "-c", script, "bash", "forerun", *words],
                              capture_output=True, text=True, cwd=self.folder, check=True)
        self.assertEqual(done.stderr, "")
        return done.stdout.split()

    def test_the_help_names_commands(self):
        for path in (("generate",), ("bench", "engine"), ("completion", "zsh")):
            self.assertIn(path, self.commands)
        self.assertIn("--threads", self.commands["generate",])
        self.assertIn("-t", self.commands["generate",])

    def test_every_command_and_option_is_completed(self):
        for path, options in self.commands.items():
            self.assertIn("--help", options)
            self.assertLessEqual(options, set(self.complete(*path, "-")), path)
            if path:
                self.assertIn(path[-1], self.complete(*path[:-1], ""))

    def test_every_script_has_every_command_and_option(self):
        for shell, script in self.scripts.items():
            for path, options in self.commands.items():
                for word in (*path, *options):
                    bare = word.lstrip("-")
                    shown = rf" -[ls] {bare}\b" if shell == "fish" and word != bare else rf"(?<![\w-]){word}\b"
                    self.assertRegex(script, shown, f"{shell}, {path}")

    def test_values(self):
        self.assertEqual(self.complete("generate", "mod"), ["model.gguf"])
        self.assertEqual(self.complete("generate", "--threads", ""), [])
        self.assertEqual(self.complete("bench", "en"), ["engine"])
        self.assertEqual(self.complete("generate", "--thr"), ["--threads"])

    def test_shells_take_their_scripts(self):
        for shell in SHELLS:
            if shutil.which(shell):  # bash always is
                done = subprocess.run([shell, "-n"], input=self.scripts[shell], text=True,
                                      capture_output=True)
                self.assertEqual((done.returncode, done.stderr), (0, ""), shell)

    def test_a_shell_has_to_be_named(self):
        self.assert_fails(run("completion"), 2, "forerun completion --help")
        self.assert_fails(run("completion", "bsh"), 2, "did you mean bash?")


if __name__ == "__main__":
    unittest.main()
