#!/usr/bin/env python3
"""Writes tests/golden/gemma3_270m_tokens.json: llama.cpp's token ids for Gemma-3-270M's GGUF.

    $(scripts/make_oracle_env) tests/golden/make_gemma_tokens.py gemma-3-270m-q4_k_m.gguf

As make_tokenizer_golden.py does it for SmolLM2, with BOS. `ids_as_text` is given for texts that hold
the text of a control token, except "</s>": llama.cpp takes Gemma's token for HTML's tag, which its
file says is one of the user's, for a control token. compare_tokenizers.py --gguf in tests/compat
compares.
"""

import argparse
import hashlib
import json
import pathlib
import subprocess

import gguf

from make_tokenizer_golden import REPOSITORY, llama_tokenize
from tokenizer_texts import TEXTS

GEMMA_TEXTS = [
    "<start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n", "<unused7>x<unused42>",
    "[multimodal]<mask>", "\n" * 31, "\n" * 32, " " * 31, " " * 33, "\t" * 5, "a" + " " * 9 + "b",
    "<table><tr><td>1</td></tr></table>", "<h1>Title</h1>\n<ul>\n\t<li>x</li>\n</ul>",
    "\u2581", "\u2581a\u2581\u2581b", " \u2581 ", "<0x41>", "x<0x0A>y", "<bos>a<eos>", "<unk><pad>",
    "\U0001FAE8\U0001FBF9\U000E0001", "\u0e33\u0eb3\u1e9b\u0323",
]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", type=pathlib.Path, help="gemma-3-270m-q4_k_m.gguf")
    arguments = parser.parse_args()
    fields = gguf.GGUFReader(arguments.model).fields
    types = fields["tokenizer.ggml.token_type"].contents()
    tokens = fields["tokenizer.ggml.tokens"].contents()
    control = [token for token, kind in zip(tokens, types) if kind == gguf.TokenType.CONTROL]
    binaries = subprocess.run([REPOSITORY / "bench/peers/build_llama_cpp"], check=True,
                              stdout=subprocess.PIPE, text=True).stdout.strip()
    cases = []
    for text in TEXTS + GEMMA_TEXTS:
        def ids(special, text=text):
            return llama_tokenize(f"{binaries}/llama-tokenize", arguments.model, text, special)
        case = {"text": text, "ids": ids(special=True)}
        if any(token in text for token in control) and "</s>" not in text:
            case["ids_as_text"] = ids(special=False)[1:]  # without BOS
        cases.append(case)
    digest = hashlib.sha256(arguments.model.read_bytes()).hexdigest()
    rows = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    (pathlib.Path(__file__).parent / "gemma3_270m_tokens.json").write_text(
        f'{{"with": "llama-tokenize of the llama.cpp in llama-cpp-python 0.3.36",\n'
        f' "model_sha256": "{digest}",\n "cases": [\n{rows}\n]}}\n')


if __name__ == "__main__":
    main()
