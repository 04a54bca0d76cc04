#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "formats/byte_reader.h"
#include "formats/gguf.h"

namespace forerun {

// The checks behind Gguf::parse(), one stage a function. Nothing is reserved from a count that the
// file states before the bytes behind it have been seen.
class GgufParser final {
 public:
  GgufParser(std::span<const uint8_t> bytes, GgufTypes types)
      : bytes_(bytes), types_(types), reader_(bytes) {}

  Result<Gguf> parse(std::string name);

 private:
  Status read_header();
  Status read_entries();
  Result<GgufEntry> read_entry(uint64_t index);
  Result<GgufValue> read_value(const std::string& field);
  Result<GgufValue> read_array(const std::string& field);
  Status check_bools(const GgufValue& value, const std::string& field) const;
  Status index_entries();
  Status read_alignment();

  Status read_tensors();
  Result<GgufTensor> read_tensor(uint64_t index);
  Status read_shape(GgufTensor& tensor, const std::string& field);
  Status read_type(GgufTensor& tensor, const std::string& field);
  Status measure(GgufTensor& tensor, const std::string& field) const;
  Status index_tensors() { return gguf_.index_tensors(); }
  Status place_tensors();
  Status check_overlap() const;

  std::span<const uint8_t> bytes_;
  GgufTypes types_;
  ByteReader reader_;
  uint64_t num_tensors_ = 0;
  uint64_t num_entries_ = 0;
  Gguf gguf_;
};

}  // namespace forerun
