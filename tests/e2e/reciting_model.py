"""A model that recites: its next token depends on the last one alone, so that a test says piece by
piece what it answers. The character that ends the prompt picks the script.

Every token's embedding is a direction of its own, attention and feed-forward parts are zero, and the
output matrix leads from each token to the next one of its script.
"""
import struct

from tiny_model import ARRAY, CONTROL, F32, I32, NORMAL, STRING, U32, entry, spelling_of_byte, string

HEAD_DIM, D_FF, CONTEXT = 64, 64, 2048
BYTES, START, END = 256, 256, 257
# With a hidden state of length sqrt(d), 17.9 and more, the one right token's logit is 35 above any
# other's. The sampler's noise spans 26, so no seed ever draws another at a temperature of 1.
WEIGHT = 2.0

# The prompt ends with the conversation's last character.
TEMPLATE = (
    "{% if tools %}{{ tools | tojson }}{% endif %}"
    "{% for m in messages %}<|start|>{{ m['role'] }}: {{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|start|>{{ messages[-1]['content'][-1] }}{% endif %}"
)


def spelling(piece):
    data = piece if isinstance(piece, bytes) else piece.encode()
    return "".join(map(spelling_of_byte, data))


def successors(scripts):
    """(the pieces, {token: the one after it}); a token without a successor is followed by the end."""
    pieces, after = [], {}
    for cue, script in scripts.items():
        last = ord(cue)
        for piece in script:
            after[last] = END + 1 + len(pieces)
            last = after[last]
            pieces.append(piece)
    return pieces, after


def keys(pieces, d_model, size, template):
    tokens = [spelling_of_byte(byte) for byte in range(BYTES)] + ["<|start|>", "<|end|>"]
    tokens += [spelling(piece) for piece in pieces]
    tokens += [f"<unused{i}>" for i in range(size - len(tokens))]
    ends = END + 1 + len(pieces)
    return {
        "general.architecture": (STRING, "llama"),
        "general.name": (STRING, "reciting"),
        "llama.embedding_length": (U32, d_model),
        "llama.block_count": (U32, 1),
        "llama.attention.head_count": (U32, d_model // HEAD_DIM),
        "llama.attention.head_count_kv": (U32, 1),
        "llama.feed_forward_length": (U32, D_FF),
        "llama.context_length": (U32, CONTEXT),
        "llama.attention.layer_norm_rms_epsilon": (F32, 1e-5),
        "tokenizer.ggml.model": (STRING, "gpt2"),
        "tokenizer.ggml.pre": (STRING, "smollm"),
        "tokenizer.ggml.tokens": ((ARRAY, STRING), tokens),
        "tokenizer.ggml.merges": ((ARRAY, STRING), []),
        "tokenizer.ggml.token_type": (
            (ARRAY, I32),
            [NORMAL] * BYTES + [CONTROL] * 2 + [NORMAL] * len(pieces) + [CONTROL] * (size - ends),
        ),
        "tokenizer.ggml.bos_token_id": (U32, START),
        "tokenizer.ggml.eos_token_id": (U32, END),
        "tokenizer.chat_template": (STRING, template),
    }


def tensors(d_model, size, after):
    """{name: (shape outermost first, bytes)}"""
    def matrix(rows, columns, ones=()):
        data = bytearray(4 * rows * columns)
        for row, column in ones:
            struct.pack_into("<f", data, 4 * (row * columns + column), WEIGHT)
        return [rows, columns], bytes(data)

    norm = [d_model], struct.pack("<f", 1.0) * d_model
    transitions = [(after.get(token, END), token) for token in range(size)]
    blocks = {
        "attn_norm": norm, "ffn_norm": norm,
        "attn_q": matrix(d_model, d_model), "attn_output": matrix(d_model, d_model),
        "attn_k": matrix(HEAD_DIM, d_model), "attn_v": matrix(HEAD_DIM, d_model),
        "ffn_gate": matrix(D_FF, d_model), "ffn_up": matrix(D_FF, d_model),
        "ffn_down": matrix(d_model, D_FF),
    }
    return {
        "token_embd.weight": matrix(size, d_model, [(token, token) for token in range(size)]),
        "output.weight": matrix(size, d_model, transitions),
        "output_norm.weight": norm,
        **{f"blk.0.{name}.weight": content for name, content in blocks.items()},
    }


def model(scripts, template=TEMPLATE):
    """A GGUF file. `scripts`: {cue: [piece, ...]}; a piece is two or more bytes, or a text of as many,
    and comes once in all of them."""
    pieces, after = successors(scripts)
    assert all(len(spelling(piece)) > 1 for piece in pieces), "a piece is the token of a byte"
    assert len(set(map(spelling, pieces))) == len(pieces), "two pieces are the same"
    size = -(-(END + 1 + len(pieces)) // 64) * 64
    the_keys, the_tensors = keys(pieces, size, size, template), tensors(size, size, after)
    header = b"GGUF" + struct.pack("<IQQ", 3, len(the_tensors), len(the_keys))
    header += b"".join(entry(name, *content) for name, content in the_keys.items())
    data = b""
    for name, (shape, values) in the_tensors.items():
        header += string(name) + struct.pack("<I", len(shape))
        header += struct.pack(f"<{len(shape)}Q", *reversed(shape))
        header += struct.pack("<IQ", 0, len(data))
        data += values + bytes(-len(values) % 32)
    return header + bytes(-len(header) % 32) + data
