#pragma once

#include <cstdint>
#include <string_view>

namespace forerun {

// How elements are stored. Quantised types store a row in blocks: `block_elements` values in
// `block_bytes` bytes, the layouts GGUF files use.
enum class DType : uint8_t {
  kF32,
  kF16,
  kBF16,
  kQ8_0,  // f16 scale d; 32 × int8 q:           w = d·q
  kQ4_0,  // f16 scale d; 32 × 4 bit q:          w = d·(q − 8); byte i holds q[i] low, q[i+16] high
  kQ4_1,  // f16 scale d, f16 min m; 32 × 4 bit: w = d·q + m;   nibbles as kQ4_0
  // The rest are described where they are taken apart: tensor/quant_block.h.
  kQ5_0,
  kQ5_1,
  kQ2_K,
  kQ3_K,
  kQ4_K,
  kQ5_K,
  kQ6_K,
  kIQ4_NL,
  kIQ4_XS,
};

constexpr DType kEveryDType[] = {DType::kF32,  DType::kF16,    DType::kBF16,  DType::kQ8_0,
                                 DType::kQ4_0, DType::kQ4_1,   DType::kQ5_0,  DType::kQ5_1,
                                 DType::kQ2_K, DType::kQ3_K,   DType::kQ4_K,  DType::kQ5_K,
                                 DType::kQ6_K, DType::kIQ4_NL, DType::kIQ4_XS};

struct DTypeTraits {
  std::string_view name;
  int block_elements;
  int block_bytes;
};

const DTypeTraits& traits(DType dtype);

// Bytes of a row of `num_elements`, a multiple of the type's block.
inline int64_t row_bytes(DType dtype, int64_t num_elements) {
  return num_elements / traits(dtype).block_elements * traits(dtype).block_bytes;
}

}  // namespace forerun
