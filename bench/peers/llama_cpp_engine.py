#!/usr/bin/env python3
"""Measures llama.cpp on a GGUF file the way `forerun bench engine` measures forerun.

    bench/peers/llama_cpp_engine.py MODEL.gguf [--repetitions 5] [--threads N]

Prints one JSON document: `prefill[].{tokens,tok_s}`, `decode[].{batch,depth,tok_s}` (of all
sequences together) and `verify[].{tokens,depth,ms,ratio_to_1}`. Every figure is the median of the
repetitions, taken with flash attention on and with it off; the better of the two is the figure,
named in `flash_attention`, and both are in `by_flash_attention`.

How each is taken:
  prefill   llama-bench -p TOKENS, from an empty cache, one batch.
  decode    llama-batched-bench: BATCH sequences of DEPTH tokens each (one prompt, copied to every
            sequence's own KV) generate `generated` tokens each, with logits for every sequence; the
            mean depth is therefore DEPTH + generated / 2. One process per repetition.
  verify    llama-bench -p TOKENS -d DEPTH: one step of TOKENS tokens of one sequence. It computes
            logits for the last token only, whereas checking a draft needs them for all: this
            flatters the peer by TOKENS - 1 rows of its output matrix.

The machine should be otherwise idle: llama.cpp's threads spin at barriers, and one busy core makes
it many times slower. The load average before and after the run is in the document.
"""

import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys

FLASH_ATTENTION = ("on", "off")


def integers(text):
    return [int(part) for part in text.split(",")]


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--prompt", type=integers, default=[512], help="prefill sizes")
    parser.add_argument("--generate", type=int, default=64, help="tokens a sequence decodes")
    parser.add_argument("--batch", type=integers, default=[1, 4, 8, 16], help="decode batch sizes")
    parser.add_argument("--decode-depth", type=integers, default=[0, 512],
                        help="tokens in each sequence before it decodes")
    parser.add_argument("--verify", type=integers, default=[1, 2, 4, 8, 16],
                        help="tokens of one sequence in a step")
    parser.add_argument("--depth", type=integers, default=[0, 512, 4096],
                        help="tokens in the sequence before a verify step")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    if not os.path.isfile(arguments.model):
        parser.error(f"no such file: {arguments.model}")
    return arguments


def run(command):
    command = [str(part) for part in command]
    print("+", " ".join(command), file=sys.stderr, flush=True)
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{command[0]} failed:\n{done.stderr[-2000:]}")
    return done.stdout


class Peer:
    def __init__(self, arguments):
        build = pathlib.Path(__file__).with_name("build_llama_cpp")
        self.binaries = subprocess.run(
            [build], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        self.arguments = arguments

    def bench(self, tokens, depths, repetitions):
        """Seconds of a step by (tokens, depth, flash attention), and one row as printed."""
        rows = json.loads(run([
            f"{self.binaries}/llama-bench", "-m", self.arguments.model, "-o", "json",
            "-t", self.arguments.threads, "-n", 0, "-p", ",".join(map(str, tokens)),
            "-d", ",".join(map(str, depths)), "-fa", ",".join(FLASH_ATTENTION),
            "-b", max(2048, *tokens), "-ub", max(512, *tokens), "-r", repetitions]))
        seconds = {
            (row["n_prompt"], row["n_depth"], "on" if row["flash_attn"] == 1 else "off"):
                statistics.median(row["samples_ns"]) / 1e9
            for row in rows}
        return seconds, rows[0]

    def batched_decode(self, depth, flash_attention):
        """Generated tokens a second, all sequences together, by batch size."""
        arguments = self.arguments
        context = max(arguments.batch) * (depth + arguments.generate + 1)
        out = run([
            f"{self.binaries}/llama-batched-bench", "-m", arguments.model,
            "-t", arguments.threads, "-tb", arguments.threads, "-c", context, "-npp", depth,
            "-ntg", arguments.generate, "-npl", ",".join(map(str, arguments.batch)),
            "-fa", flash_attention, "--output-format", "jsonl"]
            + (["-pps"] if depth else []))
        # With an empty prompt its speed is 0/0, printed as -nan, which JSON does not know.
        rows = [json.loads(re.sub(r"-?\bnan\b|-?\binf\b", "null", line))
                for line in out.splitlines() if line.startswith("{")]
        return {row["pl"]: row["speed_tg"] for row in rows}


def better(by_flash_attention, pick):
    best = pick(by_flash_attention.values())
    return best, next(name for name, value in by_flash_attention.items() if value == best)


def prefill_figures(peer, arguments):
    seconds, row = peer.bench(arguments.prompt, [0], arguments.repetitions)
    figures = []
    for tokens in arguments.prompt:
        speeds = {name: round(tokens / seconds[tokens, 0, name], 2) for name in FLASH_ATTENTION}
        tok_s, name = better(speeds, max)
        figures.append({"tokens": tokens, "tok_s": tok_s, "flash_attention": name,
                        "by_flash_attention": speeds})
    return figures, row


def decode_figures(peer, arguments):
    figures = []
    for depth in arguments.decode_depth:
        samples = {(batch, name): [] for batch in arguments.batch for name in FLASH_ATTENTION}
        # On and off take turns, so that a machine whose speed drifts is fair to both.
        for _ in range(arguments.repetitions):
            for name in FLASH_ATTENTION:
                for batch, tok_s in peer.batched_decode(depth, name).items():
                    samples[batch, name].append(tok_s)
        for batch in arguments.batch:
            speeds = {name: round(statistics.median(samples[batch, name]), 2)
                      for name in FLASH_ATTENTION}
            tok_s, name = better(speeds, max)
            figures.append({"batch": batch, "depth": depth, "generated": arguments.generate,
                            "tok_s": tok_s, "flash_attention": name,
                            "by_flash_attention": speeds})
    return figures


def verify_figures(peer, arguments):
    # A step is milliseconds, and short runs scatter: take more of them.
    seconds, _ = peer.bench(arguments.verify, arguments.depth, 4 * arguments.repetitions)
    figures = []
    for depth in arguments.depth:
        one = None
        for tokens in arguments.verify:
            times = {name: round(1e3 * seconds[tokens, depth, name], 3)
                     for name in FLASH_ATTENTION}
            ms, name = better(times, min)
            one = ms if tokens == 1 else one
            figures.append({"tokens": tokens, "depth": depth, "ms": ms,
                            "ratio_to_1": round(ms / one, 3) if one else None,
                            "flash_attention": name, "by_flash_attention": times})
    return figures


def main():
    arguments = parse_arguments()
    peer = Peer(arguments)
    load_before = os.getloadavg()[0]
    prefill, row = prefill_figures(peer, arguments)
    document = {
        "engine": "llama.cpp",
        "commit": row["build_commit"],
        "from": "llama-cpp-python 0.3.36",
        "model": os.path.basename(arguments.model),
        "model_bytes": row["model_size"],
        "cpu": row["cpu_info"],
        "threads": arguments.threads,
        "repetitions": arguments.repetitions,
        "prefill": prefill,
        "decode": decode_figures(peer, arguments),
        "verify": verify_figures(peer, arguments),
        "load_average": {"before": round(load_before, 2), "after": round(os.getloadavg()[0], 2)},
    }
    print(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
