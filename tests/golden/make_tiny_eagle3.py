#!/usr/bin/env python3
"""Writes tests/golden/tiny_eagle3.json: what PyTorch computes for tiny random EAGLE-3 heads.

    $(scripts/make_oracle_env) tests/golden/make_tiny_eagle3.py

No weight is stored: every tensor follows from "eagle3." and its name by the rule of
make_tiny_llama.py, and so do the states of the target, from "eagle3.states". The forward pass is
written here from the method's description, in plain operations of float32, and shares nothing with
the engine:

    state   = fc(the target's three states)                 or, behind them, the last output
    both    = [input_layernorm(embedding of the next token), hidden_norm(state)]
    hidden  = residual + o_proj(attention(q, k, v of both))  residual: state, or its norm
    output  = hidden + mlp(post_attention_layernorm(hidden))
    logits  = lm_head(norm(output))

The first rows have states of the target, the last ones recycle the output of the row before.
"""

import pathlib

import torch
from make_tiny_llama import digits, dump, hashed_tensor

KNOWN, RECYCLED = 40, 3
TOKEN_IDS = [(29 * i + 5) % 320 for i in range(KNOWN + RECYCLED)]
CONFIG = dict(vocab_size=320, draft_vocab_size=96, hidden_size=64, intermediate_size=160,
              num_attention_heads=4, num_key_value_heads=2, head_dim=16, rms_norm_eps=1e-5,
              rope_theta=10000.0)
VARIANTS = {"plain": {}, "normed_residual": {"norm_before_residual": True},
            "wider_target": {"target_hidden_size": 96}}


def tensor(name, *shape):
    return torch.from_numpy(hashed_tensor("eagle3." + name, shape).reshape(shape))


def rms_norm(x, weight, epsilon):
    return weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + epsilon)


def rotate(x, positions, theta):
    """x [rows, heads, head_dim]; pairs are (i, i + head_dim / 2)."""
    half = x.shape[-1] // 2
    frequencies = theta ** (-torch.arange(half, dtype=torch.float64) / half)
    angle = positions[:, None, None].double() * frequencies
    cosine, sine = angle.cos().float(), angle.sin().float()
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * cosine - b * sine, b * cosine + a * sine], -1)


class Head:
    def __init__(self, normed_residual, target):
        c = CONFIG
        d, ff, kv = c["hidden_size"], c["intermediate_size"], c["num_key_value_heads"] * c["head_dim"]
        q = c["num_attention_heads"] * c["head_dim"]
        self.normed_residual = normed_residual
        self.embedding = tensor("embed_tokens.weight", c["vocab_size"], d)
        self.fc = tensor("fc.weight", d, 3 * target)
        self.input_norm = tensor("midlayer.input_layernorm.weight", d)
        self.hidden_norm = tensor("midlayer.hidden_norm.weight", d)
        self.q = tensor("midlayer.self_attn.q_proj.weight", q, 2 * d)
        self.k = tensor("midlayer.self_attn.k_proj.weight", kv, 2 * d)
        self.v = tensor("midlayer.self_attn.v_proj.weight", kv, 2 * d)
        self.o = tensor("midlayer.self_attn.o_proj.weight", d, q)
        self.ffn_norm = tensor("midlayer.post_attention_layernorm.weight", d)
        self.gate = tensor("midlayer.mlp.gate_proj.weight", ff, d)
        self.up = tensor("midlayer.mlp.up_proj.weight", ff, d)
        self.down = tensor("midlayer.mlp.down_proj.weight", d, ff)
        self.norm = tensor("norm.weight", d)
        self.output = tensor("lm_head.weight", c["draft_vocab_size"], d)

    def layer(self, tokens, states):
        """[rows, d] of the rows' outputs: every row sees those before it and itself."""
        c, epsilon = CONFIG, CONFIG["rms_norm_eps"]
        rows = len(tokens)
        normed = rms_norm(states, self.hidden_norm, epsilon)
        both = torch.cat([rms_norm(self.embedding[tokens], self.input_norm, epsilon), normed], -1)
        positions = torch.arange(rows)
        q = rotate((both @ self.q.T).view(rows, -1, c["head_dim"]), positions, c["rope_theta"])
        k = rotate((both @ self.k.T).view(rows, -1, c["head_dim"]), positions, c["rope_theta"])
        v = (both @ self.v.T).view(rows, -1, c["head_dim"])
        group = c["num_attention_heads"] // c["num_key_value_heads"]
        k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        scores = torch.einsum("qhd,khd->hqk", q, k) / c["head_dim"] ** 0.5
        scores = scores.masked_fill(torch.ones(rows, rows).triu(1).bool(), -torch.inf)
        attended = torch.einsum("hqk,khd->qhd", scores.softmax(-1), v).reshape(rows, -1)
        hidden = (normed if self.normed_residual else states) + attended @ self.o.T
        x = rms_norm(hidden, self.ffn_norm, epsilon)
        gate = x @ self.gate.T
        return hidden + (gate * torch.sigmoid(gate) * (x @ self.up.T)) @ self.down.T

    def logits(self, output):
        return rms_norm(output, self.norm, CONFIG["rms_norm_eps"]) @ self.output.T


def variant(changes):
    target = changes.get("target_hidden_size", CONFIG["hidden_size"])
    head = Head(changes.get("norm_before_residual", False), target)
    states = tensor("states", KNOWN, 3 * target) @ head.fc.T
    for row in range(KNOWN, KNOWN + RECYCLED):
        output = head.layer(TOKEN_IDS[:row], states)
        states = torch.cat([states, output[-1:]])
    output = head.layer(TOKEN_IDS, states)
    rows = range(KNOWN - 1, KNOWN + RECYCLED)
    return {"config": changes, "logits": {str(row): digits(head.logits(output[row])) for row in rows},
            "last_output": digits(output[-1])}


def main():
    torch.manual_seed(0)
    document = {"made_by": "tests/golden/make_tiny_eagle3.py", "with": "torch, float32",
                "known": KNOWN, "token_ids": TOKEN_IDS, "config": CONFIG,
                "variants": {name: variant(changes) for name, changes in VARIANTS.items()}}
    dump(document, pathlib.Path(__file__).with_name("tiny_eagle3.json"))


if __name__ == "__main__":
    main()
