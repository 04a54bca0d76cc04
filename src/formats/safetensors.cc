#include "formats/safetensors.h"

#include <algorithm>

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

}  // namespace forerun
