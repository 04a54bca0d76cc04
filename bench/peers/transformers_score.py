#!/usr/bin/env python3
"""Scores what `forerun bench score` scores, with transformers in float32. Run it with the Python that
scripts/make_oracle_env prints.

    bench/peers/transformers_score.py MODEL REQUESTS --out FILE

MODEL is a Hugging Face directory. Contexts and continuations are cut into tokens as
lm-evaluation-harness does it. FILE holds {"requests": [...]} of
the same shape as forerun's and is written as it goes, so that an interrupted run goes on.
"""

import argparse
import json
import pathlib
import sys
import time

import torch
import transformers


def load(path):
    tokenizer = transformers.AutoTokenizer.from_pretrained(path)
    model = transformers.AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    return tokenizer, model.eval()


def cut(tokenizer, context, continuation):
    """(context's ids, continuation's ids)"""
    blanks = len(context) - len(context.rstrip())
    if blanks:
        continuation, context = context[-blanks:] + continuation, context[:-blanks]
    if not context:
        first = tokenizer.bos_token_id
        first = tokenizer.eos_token_id if first is None else first
        return [first], tokenizer(continuation, add_special_tokens=False)["input_ids"]
    whole = tokenizer(context + continuation)["input_ids"]
    size = len(tokenizer(context)["input_ids"])
    return whole[:size], whole[size:]


def score(model, pairs):
    """[(log-prob of the continuation, whether it is greedy)] of one batch."""
    longest = max(len(before) + len(after) for before, after in pairs)
    ids = torch.zeros(len(pairs), longest, dtype=torch.long)
    for row, (before, after) in enumerate(pairs):
        ids[row, : len(before) + len(after)] = torch.tensor(before + after)
    with torch.inference_mode():  # what is behind a row's end is not seen by it
        logits = model(ids).logits
    scores = []
    for row, (before, after) in enumerate(pairs):
        predicted = logits[row, len(before) - 1 : len(before) + len(after) - 1].double()
        wanted = torch.tensor(after)
        logprobs = predicted.log_softmax(-1).gather(1, wanted[:, None])
        scores.append((logprobs.sum().item(), bool((predicted.argmax(-1) == wanted).all())))
    return scores


def answer(tokenizer, model, request):
    choices = request.get("choices", [request.get("continuation")])
    pairs = [cut(tokenizer, request["context"], choice) for choice in choices]
    found = [{"logprob": logprob, "greedy": greedy, "context_tokens": len(before),
              "continuation_tokens": len(after), "bytes": len(choice.lstrip().encode())}
             for (logprob, greedy), (before, after), choice
             in zip(score(model, pairs), pairs, choices, strict=True)]
    if "choices" not in request:
        return found[0]
    best = max(range(len(found)), key=lambda i: found[i]["logprob"])
    by_length = max(range(len(found)), key=lambda i: found[i]["logprob"] / found[i]["bytes"])
    return {"best": best, "best_by_length": by_length, "choices": found,
            "answer": request["answer"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("requests", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--seconds", type=float, help="stop after these; run again to go on")
    arguments = parser.parse_args()
    requests = [json.loads(line) for line in arguments.requests.read_text().splitlines()]
    found = json.loads(arguments.out.read_text())["requests"] if arguments.out.exists() else []
    tokenizer, model = load(arguments.model)
    end = time.monotonic() + (arguments.seconds or 1e9)
    while len(found) < len(requests) and time.monotonic() < end:
        found.append(answer(tokenizer, model, requests[len(found)]))
        if len(found) % 20 == 0 or len(found) == len(requests):
            arguments.out.write_text(json.dumps({"requests": found}))
            print(f"{len(found)} of {len(requests)}", file=sys.stderr, flush=True)
    arguments.out.write_text(json.dumps({"requests": found}))


if __name__ == "__main__":
    main()
