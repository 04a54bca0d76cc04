#include "formats/safetensors.h"

#include <algorithm>
#include <cstring>

#include "formats/quote.h"
#include "formats/safetensors_parser.h"

namespace forerun {

Result<Safetensors> Safetensors::open(const std::string& path) {
  Result<MappedFile> file = MappedFile::open(path);
  if (!file.ok()) return file.error();
  Result<Safetensors> safetensors = parse(file->bytes(), path);
  if (safetensors.ok()) safetensors->file_ = std::move(*file);
  return safetensors;
}

Result<Safetensors> Safetensors::parse(std::span<const uint8_t> bytes, std::string name) {
  return SafetensorsParser(bytes).parse(std::move(name));
}

const SafetensorsTensor* Safetensors::find(std::string_view name) const {
  const auto found = std::ranges::lower_bound(tensors_, name, {}, &SafetensorsTensor::name);
  return found == tensors_.end() || found->name != name ? nullptr : &*found;
}

const TensorView* Safetensors::find_tensor(std::string_view name) const {
  const SafetensorsTensor* tensor = find(name);
  return tensor == nullptr ? nullptr : &tensor->view;
}

std::string_view Safetensors::type_name(std::string_view name) const {
  const SafetensorsTensor* tensor = find(name);
  return tensor == nullptr ? "" : tensor->type->name;
}

Result<std::vector<int64_t>> Safetensors::read_int64(std::string_view name) const {
  const SafetensorsTensor* tensor = find(name);
  const bool is_list =
      tensor != nullptr && tensor->type->name == "I64" && tensor->view.shape.size() == 1;
  if (!is_list) return Error{path_ + ": tensor " + quote(name) + " is not a list of I64"};
  std::vector<int64_t> values(tensor->size_bytes / sizeof(int64_t));
  std::memcpy(values.data(), bytes_.data() + tensor->offset_bytes, tensor->size_bytes);
  return values;
}

}  // namespace forerun
