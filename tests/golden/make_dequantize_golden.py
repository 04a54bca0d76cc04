#!/usr/bin/env python3
"""Writes dequantize.txt: stored rows of every tensor type and the floats they stand for, by PyPI
gguf's own dequantiser (made with gguf 0.19.0: pip install gguf==0.19.0).

One line a case: type, number of elements, the stored bytes in hex, the floats' bits in hex.
"""
import pathlib

import gguf
import numpy

TYPES = ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1"]
NUM_ELEMENTS = 64


def finite_f16(rng, count):
    """Every exponent a half has, subnormals and both signs, no infinities."""
    bits = rng.integers(0, 0x7C00, count, dtype=numpy.uint16)
    return bits | (rng.integers(0, 2, count, dtype=numpy.uint16) << 15)


def stored_row(name, rng):
    block_elements, block_bytes = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]]
    num_blocks = NUM_ELEMENTS // block_elements
    if name == "F32":
        return rng.standard_normal(NUM_ELEMENTS).astype("<f4").view(numpy.uint8)
    if name in ("F16", "BF16"):
        return finite_f16(rng, NUM_ELEMENTS).astype("<u2").view(numpy.uint8)
    blocks = rng.integers(0, 256, (num_blocks, block_bytes), dtype=numpy.uint8)
    num_halves = {"Q8_0": 1, "Q4_0": 1, "Q4_1": 2}[name]
    for half in range(num_halves):
        scales = finite_f16(rng, num_blocks).astype("<u2").view(numpy.uint8)
        blocks[:, 2 * half : 2 * half + 2] = scales.reshape(num_blocks, 2)
    return blocks.reshape(-1)


def main():
    rng = numpy.random.default_rng(20)
    lines = []
    for name in TYPES:
        for _ in range(2):
            row = stored_row(name, rng)
            kind = gguf.GGMLQuantizationType[name]
            if name == "F32":
                values = row.view("<f4")
            elif name == "F16":
                values = row.view("<f2").astype("<f4")
            else:
                values = gguf.dequantize(row, kind).astype("<f4")
            bits = values.reshape(-1).view("<u4")
            lines.append(
                f"{name} {NUM_ELEMENTS} {row.tobytes().hex()} {''.join(f'{b:08x}' for b in bits)}"
            )
    target = pathlib.Path(__file__).parent / "dequantize.txt"
    target.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
