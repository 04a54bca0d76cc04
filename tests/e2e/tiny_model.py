"""Small model files for the tests of the command, written with struct alone so that reading them is
checked against something other than the engine's own writer."""
import copy
import math
import random
import struct

U32, I32, F32, STRING, ARRAY = 4, 5, 6, 8, 9
TYPES = {"F32": 0, "IQ1_S": 19}
D_MODEL, D_FF, HEADS, LAYERS, CONTEXT = 32, 64, 2, 2, 256
NORMAL, CONTROL = 1, 3

TEMPLATE = (
    "{% for m in messages %}<|start|>{{ m['role'] }}: {{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|start|>{% endif %}"
)


def string(text):
    data = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<Q", len(data)) + data


def spelling_of_byte(byte):
    """GPT-2's printable spelling: U+0100 onwards for bytes that have no glyph of their own."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    if byte in printable:
        return chr(byte)
    return chr(0x100 + [b for b in range(256) if b not in printable].index(byte))


def keys():
    """{name: (type, value)}; an array's type is (ARRAY, type of its elements)."""
    tokens = [spelling_of_byte(byte) for byte in range(256)] + ["<|start|>", "<|end|>"]
    tokens += [f"<unused{i}>" for i in range(320 - len(tokens))]
    return {
        "general.architecture": (STRING, "llama"),
        "general.name": (STRING, "tiny"),
        "llama.embedding_length": (U32, D_MODEL),
        "llama.block_count": (U32, LAYERS),
        "llama.attention.head_count": (U32, HEADS),
        "llama.attention.head_count_kv": (U32, HEADS),
        "llama.feed_forward_length": (U32, D_FF),
        "llama.context_length": (U32, CONTEXT),
        "llama.attention.layer_norm_rms_epsilon": (F32, 1e-5),
        "tokenizer.ggml.model": (STRING, "gpt2"),
        "tokenizer.ggml.pre": (STRING, "smollm"),
        "tokenizer.ggml.tokens": ((ARRAY, STRING), tokens),
        "tokenizer.ggml.merges": ((ARRAY, STRING), []),
        "tokenizer.ggml.token_type": (
            (ARRAY, I32),
            [NORMAL] * 256 + [CONTROL] * (len(tokens) - 256),
        ),
        "tokenizer.ggml.bos_token_id": (U32, 256),
        "tokenizer.ggml.eos_token_id": (U32, 257),
        "tokenizer.chat_template": (STRING, TEMPLATE),
    }


def tensors():
    """{name: (type, shape outermost first)}"""
    shapes = {"token_embd.weight": [320, D_MODEL], "output_norm.weight": [D_MODEL]}
    for layer in range(LAYERS):
        for name, shape in {
            "attn_norm": [D_MODEL],
            "attn_q": [D_MODEL, D_MODEL],
            "attn_k": [D_MODEL, D_MODEL],
            "attn_v": [D_MODEL, D_MODEL],
            "attn_output": [D_MODEL, D_MODEL],
            "ffn_norm": [D_MODEL],
            "ffn_gate": [D_FF, D_MODEL],
            "ffn_up": [D_FF, D_MODEL],
            "ffn_down": [D_MODEL, D_FF],
        }.items():
            shapes[f"blk.{layer}.{name}.weight"] = shape
    return {name: ("F32", shape) for name, shape in shapes.items()}


def value(kind, content):
    if kind == STRING:
        return string(content)
    return struct.pack({U32: "<I", I32: "<i", F32: "<f"}[kind], content)


def entry(name, kind, content):
    if not isinstance(kind, tuple):
        return string(name) + struct.pack("<I", kind) + value(kind, content)
    head = struct.pack("<IIQ", kind[0], kind[1], len(content))
    return string(name) + head + b"".join(value(kind[1], element) for element in content)


def weights(name, kind, shape):
    """Random, the same every time; special tokens are out of reach, so that answers are text."""
    if kind != "F32":
        return bytes(math.prod(shape) // 256 * 50)
    if len(shape) == 1:
        return struct.pack(f"<{shape[0]}f", *[1.0] * shape[0])
    draw = random.Random(name)
    numbers = [draw.uniform(-0.5, 0.5) for _ in range(math.prod(shape))]
    if name == "token_embd.weight":
        numbers[256 * D_MODEL :] = [0.0] * (len(numbers) - 256 * D_MODEL)
    return struct.pack(f"<{len(numbers)}f", *numbers)


def encode(the_keys, the_tensors):
    header = b"GGUF" + struct.pack("<IQQ", 3, len(the_tensors), len(the_keys))
    header += b"".join(entry(name, *content) for name, content in the_keys.items())
    data = b""
    for name, (kind, shape) in the_tensors.items():
        header += string(name) + struct.pack("<I", len(shape))
        header += struct.pack(f"<{len(shape)}Q", *reversed(shape))
        header += struct.pack("<IQ", TYPES[kind], len(data))
        data += weights(name, kind, shape)
        data += bytes(-len(data) % 32)
    return header + bytes(-len(header) % 32) + data


def model(without=(), **changes):
    """A model's file. `without` names keys and tensors to leave out; `changes` gives others, with
    __ for a dot: the new value of a key, or the (type, shape) of a tensor."""
    the_keys, the_tensors = copy.deepcopy(keys()), tensors()
    for name, content in changes.items():
        name = name.replace("__", ".")
        if name in the_tensors:
            the_tensors[name] = content
        else:
            the_keys[name] = (the_keys[name][0], content)
    for name in without:
        (the_keys if name in the_keys else the_tensors).pop(name)
    return encode(the_keys, the_tensors)


def bytes_of_token(token_id):
    """The text of a token that is one printable byte."""
    return chr(token_id)
