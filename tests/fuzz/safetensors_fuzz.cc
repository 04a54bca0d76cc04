// Reads safetensors files that a stranger wrote. An input is a header, to which as much data is
// given as it asks for (its first byte is '{'), a file as it stands ('R', then the file), or else a
// list of choices from which a nearly right file is built.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "choices.h"
#include "formats/dequantize.h"
#include "formats/quote.h"
#include "formats/safetensors.h"
#include "formats/safetensors_header.h"

namespace forerun {
namespace {

constexpr uint64_t kMostDataBytes = 1 << 16;

// Views are read here so that the address sanitizer sees one that leaves the file or its copy.
void read_tensor(const Safetensors& file, const SafetensorsTensor& tensor) {
  if (file.find_tensor(tensor.name) != &tensor.view) std::abort();
  const Result<TensorView> view = file.get_tensor(tensor.name);
  if (view.ok() != tensor.type->dtype.has_value()) std::abort();
  if (!view.ok()) return;
  if (static_cast<uint64_t>(view->num_bytes()) != tensor.size_bytes) std::abort();
  const int64_t num_elements = view->num_elements();
  std::vector<float> values(num_elements);
  dequantize_row(view->dtype, view->data, num_elements, values.data());
}

void read_file(std::span<const uint8_t> bytes) {
  const Result<Safetensors> file = Safetensors::parse(bytes, "input");
  if (!file.ok()) return;
  for (const SafetensorsTensor& tensor : file->tensors()) read_tensor(*file, tensor);
  for (const auto& [key, value] : file->metadata()) quote(key + value);
  (void)file->get_tensor("");
}

std::vector<uint8_t> with_data(std::string_view header, uint64_t data_bytes, uint64_t length) {
  std::vector<uint8_t> file(8);
  std::memcpy(file.data(), &length, 8);
  file.insert(file.end(), header.begin(), header.end());
  file.resize(file.size() + std::min(data_bytes, kMostDataBytes), 0x35);
  return file;
}

void read_header(std::string_view json) {
  const Result<SafetensorsHeader> header = read_safetensors_header(json);
  uint64_t data_bytes = 0;
  if (header.ok()) {
    for (const SafetensorsEntry& entry : header->entries) {
      data_bytes = std::max(data_bytes, entry.end);
    }
  }
  read_file(with_data(json, data_bytes, json.size()));
}

class FileBuilder final {
 public:
  explicit FileBuilder(std::span<const uint8_t> bytes) : choices_(bytes) {}

  std::vector<uint8_t> build() {
    std::string header = "{";
    const uint64_t num_tensors = choices_.below(6);
    for (uint64_t i = 0; i < num_tensors; ++i) {
      header += (i > 0 ? "," : "") + tensor(i);
    }
    header += "}";
    header.resize(header.size() + choices_.below(8), ' ');
    return with_data(header, choices_.perhaps(data_bytes_), choices_.perhaps(header.size()));
  }

 private:
  struct Type {
    const char* name;
    uint64_t bits;
  };

  std::string tensor(uint64_t index) {
    constexpr Type kTypes[] = {{"F32", 32}, {"F16", 16}, {"BF16", 16}, {"I64", 64},
                               {"U8", 8},   {"BOOL", 8}, {"F4", 4},    {"F6_E2M3", 6}};
    const Type& type = kTypes[choices_.below(std::size(kTypes))];
    uint64_t num_elements = 1;
    std::string shape;
    for (uint64_t i = choices_.below(4); i > 0; --i) {
      const uint64_t dim = choices_.below(5);
      num_elements *= dim;
      shape += (shape.empty() ? "" : ",") + std::to_string(choices_.perhaps(dim));
    }
    const uint64_t begin = data_bytes_;
    data_bytes_ += num_elements * type.bits / 8;
    return "\"t" + std::to_string(choices_.perhaps(index)) + R"(":{"dtype":")" + type.name +
           R"(","shape":[)" + shape + R"(],"data_offsets":[)" +
           std::to_string(choices_.perhaps(begin)) + "," +
           std::to_string(choices_.perhaps(data_bytes_)) + "]}";
  }

  Choices choices_;
  uint64_t data_bytes_ = 0;
};

}  // namespace
}  // namespace forerun

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span<const uint8_t> input(data, size);
  if (size > 0 && data[0] == '{') {
    forerun::read_header({reinterpret_cast<const char*>(data), size});
  } else if (size > 0 && data[0] == 'R') {
    forerun::read_file(std::vector<uint8_t>(data + 1, data + size));
  } else {
    forerun::read_file(forerun::FileBuilder(input).build());
  }
  return 0;
}
