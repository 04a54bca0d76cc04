#include "formats/dequantize.h"

#include "base/check.h"
#include "formats/byte_reader.h"
#include "tensor/float16.h"

namespace forerun {
namespace {

float load_f16(const uint8_t* bytes) {
  return f16_to_f32(load_little_endian<uint16_t>(bytes));
}

float f32_element(const uint8_t* bytes) {
  return load_little_endian<float>(bytes);
}
float f16_element(const uint8_t* bytes) {
  return load_f16(bytes);
}
float bf16_element(const uint8_t* bytes) {
  return bf16_to_f32(load_little_endian<uint16_t>(bytes));
}

template <float (*element)(const uint8_t*)>
void single(const uint8_t* block, float* out) {
  *out = element(block);
}

void q8_0_block(const uint8_t* block, float* out) {
  const float scale = load_f16(block);
  for (int i = 0; i < 32; ++i) out[i] = scale * static_cast<int8_t>(block[2 + i]);
}

void q4_0_block(const uint8_t* block, float* out) {
  const float scale = load_f16(block);
  for (int i = 0; i < 16; ++i) {
    const uint8_t pair = block[2 + i];
    out[i] = scale * static_cast<float>((pair & 15) - 8);
    out[i + 16] = scale * static_cast<float>((pair >> 4) - 8);
  }
}

void q4_1_block(const uint8_t* block, float* out) {
  const float scale = load_f16(block);
  const float min = load_f16(block + 2);
  for (int i = 0; i < 16; ++i) {
    const uint8_t pair = block[4 + i];
    out[i] = scale * static_cast<float>(pair & 15) + min;
    out[i + 16] = scale * static_cast<float>(pair >> 4) + min;
  }
}

using BlockFunction = void (*)(const uint8_t* block, float* out);

BlockFunction block_function(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return single<f32_element>;
    case DType::kF16:
      return single<f16_element>;
    case DType::kBF16:
      return single<bf16_element>;
    case DType::kQ8_0:
      return q8_0_block;
    case DType::kQ4_0:
      return q4_0_block;
    case DType::kQ4_1:
      return q4_1_block;
  }
  CHECK(false, "unknown dtype");
}

}  // namespace

void dequantize_row(DType dtype, const uint8_t* row, int64_t num_elements, float* out) {
  const DTypeTraits& type = traits(dtype);
  CHECK(num_elements % type.block_elements == 0, "a row is a whole number of blocks");
  const BlockFunction dequantize = block_function(dtype);
  for (int64_t i = 0; i < num_elements; i += type.block_elements) {
    dequantize(row, out + i);
    row += type.block_bytes;
  }
}

}  // namespace forerun
