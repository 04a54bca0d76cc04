#!/usr/bin/env python3
"""Measures vLLM's CPU build on a Hugging Face directory the way `forerun bench engine` measures
forerun. Run it with the Python that bench/peers/build_vllm_cpu prints.

    bench/peers/vllm_cpu_engine.py DIRECTORY [--batch 1,8,16] [--prompt 512] [--eager]

Prints one JSON document: `prefill[].{tokens,tok_s}` and `decode[].{batch,depth,tok_s}` (of all
sequences together), medians of the repetitions.

  prefill   one prompt of TOKENS random tokens, no prefix cache, until its first token is there.
  decode    BATCH sequences from prompts of 16 tokens; the time of `generated` tokens each less
            that of one token each, so that prompts and start-up do not count.
"""

import argparse
import json
import os
import random
import statistics
import sys
import time

PROMPT = 16


def integers(text):
    return [int(part) for part in text.split(",")]


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--prompt", type=integers, default=[512])
    parser.add_argument("--batch", type=integers, default=[1, 8, 16])
    parser.add_argument("--generate", type=int, default=128)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--eager", action="store_true", help="no compilation")
    arguments = parser.parse_args()
    if not os.path.isfile(os.path.join(arguments.model, "config.json")):
        parser.error(f"{arguments.model} has no config.json")
    return arguments


class Peer:
    def __init__(self, arguments):
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
        os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "2")  # GiB
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        import vllm
        self.vllm = vllm
        self.engine = vllm.LLM(
            model=arguments.model, dtype="bfloat16", skip_tokenizer_init=True,
            max_model_len=2048, max_num_seqs=max(arguments.batch), enable_prefix_caching=False,
            enforce_eager=arguments.eager, disable_log_stats=True)
        with open(os.path.join(arguments.model, "config.json"), encoding="utf-8") as file:
            self.vocab_size = json.load(file)["vocab_size"]
        self.random = random.Random(1)

    def seconds(self, batch, prompt, generate):
        """Of one run over fresh prompts."""
        prompts = [{"prompt_token_ids": [self.random.randrange(self.vocab_size)
                                         for _ in range(prompt)]} for _ in range(batch)]
        sampling = self.vllm.SamplingParams(
            temperature=0.0, max_tokens=generate, ignore_eos=True, detokenize=False)
        begin = time.perf_counter()
        answers = self.engine.generate(prompts, sampling, use_tqdm=False)
        seconds = time.perf_counter() - begin
        assert all(len(answer.outputs[0].token_ids) == generate for answer in answers)
        return seconds

    def median(self, repetitions, measure):
        measure()  # warms up
        return statistics.median(measure() for _ in range(repetitions))


def main(document):
    arguments = parse_arguments()
    peer = Peer(arguments)
    prefill, decode = [], []
    for tokens in arguments.prompt:
        seconds = peer.median(arguments.repetitions, lambda: peer.seconds(1, tokens, 1))
        prefill.append({"tokens": tokens, "tok_s": round(tokens / seconds, 2)})
    for batch in arguments.batch:
        seconds = peer.median(arguments.repetitions, lambda: (
            peer.seconds(batch, PROMPT, arguments.generate + 1) - peer.seconds(batch, PROMPT, 1)))
        decode.append({"batch": batch, "depth": 0, "generated": arguments.generate,
                       "tok_s": round(batch * arguments.generate / seconds, 2)})
    print(json.dumps({
        "engine": "vllm-cpu", "version": peer.vllm.__version__,
        "model": os.path.basename(os.path.abspath(arguments.model)),
        "compiled": not arguments.eager, "threads": os.cpu_count(),
        "repetitions": arguments.repetitions, "prefill": prefill, "decode": decode}), file=document, flush=True)


def preload_openmp():
    """Starts over with Intel's OpenMP, which vLLM's documentation recommends and the list installs."""
    library = os.path.join(sys.prefix, "lib", "libiomp5.so")
    if "LD_PRELOAD" not in os.environ and os.path.exists(library):
        os.environ["LD_PRELOAD"] = library
        os.execv(sys.executable, [sys.executable, *sys.argv])


if __name__ == "__main__":
    preload_openmp()
    # vLLM and its workers print to standard output; here the document alone goes there.
    with os.fdopen(os.dup(1), "w") as standard_output:
        os.dup2(2, 1)
        main(standard_output)
