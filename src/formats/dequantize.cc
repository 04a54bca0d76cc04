#include "formats/dequantize.h"

#include "base/check.h"
#include "formats/byte_reader.h"
#include "tensor/float16.h"
#include "tensor/quant_block.h"

namespace forerun {
namespace {

float f32_element(const uint8_t* bytes) {
  return load_little_endian<float>(bytes);
}
float f16_element(const uint8_t* bytes) {
  return f16_to_f32(load_little_endian<uint16_t>(bytes));
}
float bf16_element(const uint8_t* bytes) {
  return bf16_to_f32(load_little_endian<uint16_t>(bytes));
}

template <float (*element)(const uint8_t*)>
void elements(const uint8_t* row, int64_t count, int element_bytes, float* out) {
  for (int64_t i = 0; i < count; ++i) out[i] = element(row + i * element_bytes);
}

void quantized_block(const QuantTraits& type, const uint8_t* stored, float* out) {
  QuantBlock block;
  decode_block(type.dtype, stored, block);
  for (int i = 0; i < type.block_inputs; i += type.scale_inputs) {
    float scale = f16_to_f32(block.scale);
    float min = type.has_min ? f16_to_f32(block.min) : 0.0f;
    if (type.has_sub_scales()) {
      const int sub_block = i / type.scale_inputs;
      scale *= block.sub_scales[sub_block];
      if (type.has_min) min *= block.sub_mins[sub_block];
    }
    for (int j = i; j < i + type.scale_inputs; ++j) {
      const float value = scale * static_cast<float>(level_of(type, block.numbers[j]));
      out[j] = type.has_min ? value + min : value;
    }
  }
}

}  // namespace

void dequantize_row(DType dtype, const uint8_t* row, int64_t num_elements, float* out) {
  const DTypeTraits& stored = traits(dtype);
  CHECK(num_elements % stored.block_elements == 0, "a row is a whole number of blocks");
  if (dtype == DType::kF32) return elements<f32_element>(row, num_elements, 4, out);
  if (dtype == DType::kF16) return elements<f16_element>(row, num_elements, 2, out);
  if (dtype == DType::kBF16) return elements<bf16_element>(row, num_elements, 2, out);
  const QuantTraits* type = find_quant_traits(dtype);
  CHECK(type != nullptr, "unknown dtype");
  for (int64_t i = 0; i < num_elements; i += stored.block_elements) {
    quantized_block(*type, row, out + i);
    row += stored.block_bytes;
  }
}

}  // namespace forerun
