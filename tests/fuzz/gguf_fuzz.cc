// Reads GGUF files that a stranger wrote. An input is either a file as it stands, or (its first
// byte is not 'G') a list of choices from which a nearly right file is built: counts, offsets and
// lengths add up unless a choice says otherwise, so the last stage is reached all the time.

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "choices.h"
#include "formats/dequantize.h"
#include "formats/gguf.h"
#include "formats/quote.h"

namespace forerun {
namespace {

// Views are read here so that the address sanitizer sees one that leaves the file.
void read_tensor(const Gguf& gguf, const GgufTensor& tensor) {
  if (tensor.view.data == nullptr) return;
  if (gguf.find_tensor(tensor.name) != &tensor.view) std::abort();
  const int64_t row = tensor.view.shape.back();
  const int64_t num_rows = tensor.view.num_elements() / row;
  const int64_t stride = row_bytes(tensor.view.dtype, row);
  std::vector<float> values(row);
  dequantize_row(tensor.view.dtype, tensor.view.data, row, values.data());
  dequantize_row(tensor.view.dtype, tensor.view.data + (num_rows - 1) * stride, row, values.data());
}

void read_entry(const Gguf& gguf, const GgufEntry& entry) {
  if (gguf.find(entry.key) != &entry.value) std::abort();
  quote(entry.key);
  entry.value.describe();
  (void)gguf.get_u64(entry.key);
  (void)entry.value.to_i64();
  (void)gguf.get_f64_or(entry.key, 0);
  (void)gguf.get_bool(entry.key);
  (void)gguf.get_i32s(entry.key);
  (void)gguf.get_f32s(entry.key);
  if (const auto text = gguf.get_string(entry.key); text.ok()) quote(*text);
  if (const auto texts = gguf.get_strings(entry.key); texts.ok()) {
    for (const std::string_view text : *texts) quote(text);
  }
  if (entry.value.is_array() && entry.value.count > 0 &&
      size_bytes_of(entry.value.element_type) > 0) {
    (void)entry.value.element(entry.value.count - 1).to_f64();
  }
}

void read_file(std::span<const uint8_t> bytes, GgufTypes types) {
  const Result<Gguf> gguf = Gguf::parse(bytes, "input", types);
  if (!gguf.ok()) return;
  for (const GgufTensor& tensor : gguf->tensors()) read_tensor(*gguf, tensor);
  for (const GgufEntry& entry : gguf->entries()) read_entry(*gguf, entry);
  (void)gguf->get_tensor("");
  (void)gguf->get_u64("");
}

class FileBuilder final {
 public:
  explicit FileBuilder(std::span<const uint8_t> bytes) : choices_(bytes) {}

  std::vector<uint8_t> build() {
    put(kGgufMagic);
    put<uint32_t>(choices_.perhaps(2 + choices_.below(2)));
    const uint64_t num_tensors = choices_.below(6);
    const uint64_t num_entries = choices_.below(8);
    put(choices_.perhaps(num_tensors));
    put(choices_.perhaps(num_entries));
    for (uint64_t i = 0; i < num_entries; ++i) put_entry(i);
    for (uint64_t i = 0; i < num_tensors; ++i) put_tensor(i);
    file_.resize((file_.size() + 31) / 32 * 32);
    file_.resize(file_.size() + choices_.perhaps(data_bytes_) % 65536);
    return std::move(file_);
  }

 private:
  template <typename T>
  void put(T value) {
    file_.resize(file_.size() + sizeof(T));
    std::memcpy(file_.data() + file_.size() - sizeof(T), &value, sizeof(T));
  }

  void put_string(std::string_view text) {
    put(choices_.perhaps(text.size()));
    file_.insert(file_.end(), text.begin(), text.end());
  }

  void put_entry(uint64_t index) {
    const uint64_t kind = choices_.below(16);
    put_string(kind == 15 ? "general.alignment" : "k" + std::to_string(choices_.perhaps(index)));
    const uint64_t type = kind < 13 ? kind : kind == 13 ? 9 : 4;
    put(static_cast<uint32_t>(choices_.perhaps(type)));
    if (kind == 15) return put(uint32_t{1} << choices_.below(32));
    if (type == 9) return put_array();
    put_value(static_cast<GgufValueType>(type));
  }

  void put_array() {
    const uint64_t type = choices_.below(kNumGgufValueTypes);
    const uint64_t count = choices_.below(5);
    put(static_cast<uint32_t>(type));
    put(choices_.perhaps(count));
    for (uint64_t i = 0; i < count; ++i) put_value(static_cast<GgufValueType>(type));
  }

  void put_value(GgufValueType type) {
    if (type == GgufValueType::kString) return put_string("té\x1b");
    for (int i = 0; i < size_bytes_of(type); ++i) put(choices_.next());
  }

  void put_tensor(uint64_t index) {
    put_string("t" + std::to_string(choices_.perhaps(index)));
    const GgmlType* type = find_ggml_type(choices_.below(42));
    const uint64_t num_dims = 1 + choices_.below(4);
    put(static_cast<uint32_t>(choices_.perhaps(num_dims)));
    uint64_t num_elements = 1;
    for (uint64_t i = 0; i < num_dims; ++i) {
      const uint64_t unit = i == 0 && type->block_elements > 0 ? type->block_elements : 1;
      const uint64_t dim = (1 + choices_.below(3)) * unit;
      num_elements *= dim;
      put(choices_.perhaps(dim));
    }
    put(static_cast<uint32_t>(choices_.perhaps(type->id)));
    put(choices_.perhaps(data_bytes_));
    if (type->block_elements == 0) return;
    data_bytes_ += num_elements / type->block_elements * type->block_bytes;
    data_bytes_ = (data_bytes_ + 31) / 32 * 32;
  }

  Choices choices_;
  std::vector<uint8_t> file_;
  uint64_t data_bytes_ = 0;
};

}  // namespace
}  // namespace forerun

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span<const uint8_t> input(data, size);
  if (size > 0 && data[0] != 'G') {
    const auto types =
        (data[0] & 1) != 0 ? forerun::GgufTypes::kAny : forerun::GgufTypes::kSupported;
    forerun::read_file(forerun::FileBuilder(input.subspan(1)).build(), types);
  } else {
    forerun::read_file(input, forerun::GgufTypes::kSupported);
  }
  return 0;
}
