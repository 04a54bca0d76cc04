#!/usr/bin/env python3
"""The peer of `forerun embed`: sentence-transformers on the same texts, on the CPU.

  PYTHON bench/peers/sentence_transformers_embed.py FOLDER FILE [--threads 2] [--batch 32]
         [--forerun build/release/apps/forerun/forerun] [--rounds 3] [--processor-time]

PYTHON has `sentence-transformers` (from PyPI). Each line of FILE is a text. The two take turns, and
the median is told: texts a second, without loading the model or splitting into tokens. With
--processor-time it is texts a second of processor time, which a busy machine changes little; ours
then includes splitting and writing.
"""

import argparse
import re
import resource
import statistics
import subprocess
import time

import torch
from sentence_transformers import SentenceTransformer


def run_ours(arguments, text):
    return subprocess.run([arguments.forerun, "embed", arguments.folder, "-f", "-", "--threads",
                           str(arguments.threads)], input=text, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True, check=True).stderr


def processor_seconds(arguments, text):
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    run_ours(arguments, text)
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before


def ours(arguments, texts):
    whole = "\n".join(texts)
    if arguments.processor_time:
        loading = processor_seconds(arguments, texts[0])
        return (len(texts) - 1) / (processor_seconds(arguments, whole) - loading)
    return float(re.search(r"([\d.]+) texts/s", run_ours(arguments, whole))[1])


def theirs(arguments, model, batches, num_texts):
    clock = time.process_time if arguments.processor_time else time.perf_counter
    start = clock()
    with torch.inference_mode():
        for batch in batches:
            model({**batch})
    return num_texts / (clock() - start)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder")
    parser.add_argument("file")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processor-time", action="store_true")
    parser.add_argument("--forerun", default="build/release/apps/forerun/forerun")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model = SentenceTransformer(arguments.folder, device="cpu").eval()
    with open(arguments.file, encoding="utf-8") as file:
        texts = file.read().rstrip("\n").split("\n")
    tokenize = getattr(model, "preprocess", model.tokenize)
    batches = [tokenize(texts[i:i + arguments.batch])
               for i in range(0, len(texts), arguments.batch)]
    print("tokens per text:", batches[0]["input_ids"].shape[1])
    theirs(arguments, model, batches[:2], 1)
    rates = {"forerun": [], "sentence-transformers": []}
    for _ in range(arguments.rounds):
        rates["forerun"].append(ours(arguments, texts))
        rates["sentence-transformers"].append(theirs(arguments, model, batches, len(texts)))
    for name, values in rates.items():
        print(f"{name}: {statistics.median(values):.0f} texts/s, "
              f"{min(values):.0f} to {max(values):.0f}")


if __name__ == "__main__":
    main()
