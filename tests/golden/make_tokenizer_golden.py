#!/usr/bin/env python3
"""Writes tests/golden/smollm2_tokens.json: llama.cpp's token ids for SmolLM2, text by text.

    $(scripts/make_oracle_env) tests/golden/make_tokenizer_golden.py SmolLM2-135M-Instruct.Q4_1.gguf

Each text is given to llama-tokenize (bench/peers/build_llama_cpp) as the exact bytes of a file,
without escape processing and with the model's own BOS setting (`add_bos_token`, recorded in the
output; SmolLM2 says false). `ids` is with special tokens parsed; `ids_special_as_text`, given for
texts that hold the text of a special token, is with them taken as plain text.

The vocabulary lacks 21 of the 256 single-byte tokens (`bytes_without_token`), eight of which
occur in UTF-8 texts. Such a byte yields no id, so decoding does not give the text back:
`round_trips` says where the ids' bytes are the text.
"""

import argparse
import hashlib
import json
import pathlib
import subprocess
import tempfile

import gguf

from tokenizer_texts import TEXTS

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


def llama_tokenize(binary, model, text, special):
    with tempfile.NamedTemporaryFile() as file:
        file.write(text.encode())
        file.flush()
        command = [binary, "-m", model, "-f", file.name, "--no-escape", "--ids", "--log-disable"]
        if not special:
            command.append("--no-parse-special")
        out = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return json.loads(out.stdout)


def byte_of_character():
    """GPT-2's map from the printable characters that stand for bytes in BPE vocabularies."""
    bytes_as_they_are = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    moved = [byte for byte in range(256) if byte not in bytes_as_they_are]
    return {**{chr(byte): byte for byte in bytes_as_they_are},
            **{chr(256 + i): byte for i, byte in enumerate(moved)}}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", help="SmolLM2-135M-Instruct.Q4_1.gguf")
    parser.add_argument("--output", default=pathlib.Path(__file__).parent / "smollm2_tokens.json")
    arguments = parser.parse_args()

    assert len(TEXTS) == len(set(TEXTS)), "a text is listed twice"
    fields = gguf.GGUFReader(arguments.model).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    types = fields["tokenizer.ggml.token_type"].contents()
    special = [token for token, kind in zip(tokens, types) if kind != gguf.TokenType.NORMAL]
    byte_of = byte_of_character()
    normal_bytes = {tokens[i]: bytes(byte_of[c] for c in tokens[i])
                    for i in range(len(tokens)) if tokens[i] not in special}

    def bytes_of(ids):
        return b"".join(normal_bytes.get(tokens[i], tokens[i].encode()) for i in ids)

    binaries = subprocess.run([REPOSITORY / "bench/peers/build_llama_cpp"], check=True,
                              stdout=subprocess.PIPE, text=True).stdout.strip()
    binary = f"{binaries}/llama-tokenize"
    cases = []
    for text in TEXTS:
        ids = llama_tokenize(binary, arguments.model, text, special=True)
        case = {"text": text, "ids": ids, "round_trips": bytes_of(ids) == text.encode()}
        if any(token in text for token in special):
            case["ids_special_as_text"] = llama_tokenize(
                binary, arguments.model, text, special=False)
        cases.append(case)

    single = {character for character in tokens if len(character) == 1}
    header = {
        "made_by": "tests/golden/make_tokenizer_golden.py",
        "with": "llama-tokenize of the llama.cpp in llama-cpp-python 0.3.36",
        "model_sha256": hashlib.sha256(pathlib.Path(arguments.model).read_bytes()).hexdigest(),
        "add_bos_token": fields["tokenizer.ggml.add_bos_token"].contents(),
        "special_tokens": special,
        "bytes_without_token": sorted(
            byte for character, byte in byte_of.items() if character not in single),
    }
    lines = [f" {json.dumps(key)}: {json.dumps(value)}," for key, value in header.items()]
    rows = [f"  {json.dumps(case, separators=(',', ':'))}" for case in cases]
    arguments.output = pathlib.Path(arguments.output)
    arguments.output.write_text(
        "{\n" + "\n".join(lines) + '\n "cases": [\n' + ",\n".join(rows) + "\n ]\n}\n")


if __name__ == "__main__":
    main()
