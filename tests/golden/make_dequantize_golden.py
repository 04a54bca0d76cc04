#!/usr/bin/env python3
"""Writes dequantize.txt: stored rows of every tensor type and the floats they stand for, by PyPI
gguf's own dequantiser (made with gguf 0.19.0: pip install gguf==0.19.0).

One line a case: type, number of elements, the stored bytes in hex, the floats' bits in hex.
"""
import pathlib

import gguf
import numpy

# A type and the offsets of the halves in its block.
QUANTISED = {
    "Q8_0": [0],
    "Q4_0": [0],
    "Q4_1": [0, 2],
    "Q5_0": [0],
    "Q5_1": [0, 2],
    "Q2_K": [80, 82],
    "Q3_K": [108],
    "Q4_K": [0, 2],
    "Q5_K": [0, 2],
    "Q6_K": [208],
    "IQ4_NL": [0],
    "IQ4_XS": [0],
}
SINGLE = ["F32", "F16", "BF16"]
# Zero, the smallest and the largest subnormal, the largest half; both signs.
EXTREME_HALVES = [0x0000, 0x0001, 0x03FF, 0x7BFF, 0x8000, 0x8001, 0x83FF, 0xFBFF]
# What every other byte of a block is: fields all zero, all ones, the sign alone, alternating.
EXTREME_BYTES = [0x00, 0xFF, 0x80, 0x7F, 0x55, 0xAA]


def finite_f16(rng, count):
    """Every exponent a half has, subnormals and both signs, no infinities."""
    bits = rng.integers(0, 0x7C00, count, dtype=numpy.uint16)
    return bits | (rng.integers(0, 2, count, dtype=numpy.uint16) << 15)


def set_half(blocks, offset, halves):
    blocks[:, offset : offset + 2] = halves.astype("<u2").view(numpy.uint8).reshape(-1, 2)


def random_row(name, rng):
    if name == "F32":
        return rng.standard_normal(64).astype("<f4").view(numpy.uint8)
    if name in SINGLE:
        return finite_f16(rng, 64).astype("<u2").view(numpy.uint8)
    block_elements, block_bytes = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]]
    num_blocks = max(64 // block_elements, 1)
    blocks = rng.integers(0, 256, (num_blocks, block_bytes), dtype=numpy.uint8)
    for offset in QUANTISED[name]:
        set_half(blocks, offset, finite_f16(rng, num_blocks))
    return blocks.reshape(-1)


def extreme_rows(name):
    """Blocks of 32 with every half against every byte; blocks of 256, which are long, with each
    byte once and the halves in turn."""
    block_elements, block_bytes = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]]
    halves = numpy.array(EXTREME_HALVES, dtype=numpy.uint16)
    for i, byte in enumerate(EXTREME_BYTES):
        num_blocks = len(halves) if block_elements == 32 else 1
        blocks = numpy.full((num_blocks, block_bytes), byte, dtype=numpy.uint8)
        for j, offset in enumerate(QUANTISED[name]):
            set_half(blocks, offset, numpy.roll(halves, -3 * i - 5 * j - 3)[:num_blocks])
        yield blocks.reshape(-1)


def values_of(name, row):
    if name == "F32":
        return row.view("<f4")
    if name == "F16":
        return row.view("<f2").astype("<f4")
    return gguf.dequantize(row, gguf.GGMLQuantizationType[name]).astype("<f4")


def main():
    rng = numpy.random.default_rng(20)
    lines = []
    for name in SINGLE + list(QUANTISED):
        rows = [random_row(name, rng) for _ in range(2)]
        if name in QUANTISED:
            rows += extreme_rows(name)
        for row in rows:
            bits = values_of(name, row).reshape(-1).view("<u4")
            lines.append(
                f"{name} {len(bits)} {row.tobytes().hex()} {''.join(f'{b:08x}' for b in bits)}"
            )
    target = pathlib.Path(__file__).parent / "dequantize.txt"
    target.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
