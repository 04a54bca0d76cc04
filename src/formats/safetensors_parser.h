#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "formats/safetensors.h"
#include "formats/safetensors_header.h"

namespace forerun {

// The checks behind Safetensors::parse(), one stage a function.
class SafetensorsParser final {
 public:
  explicit SafetensorsParser(std::span<const uint8_t> bytes) : bytes_(bytes) {}

  Result<Safetensors> parse(std::string name);

 private:
  Status read_header();
  Status read_tensors();
  Result<SafetensorsTensor> read_tensor(SafetensorsEntry& entry) const;
  Status check_layout() const;
  Status index_tensors();
  Status make_views();

  std::span<const uint8_t> bytes_;
  uint64_t data_begin_ = 0;
  SafetensorsHeader header_;
  Safetensors file_;
};

}  // namespace forerun
