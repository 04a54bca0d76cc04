#include "formats/gguf.h"

#include <algorithm>
#include <numeric>

#include "formats/gguf_parser.h"
#include "formats/quote.h"

namespace forerun {
namespace {

constexpr char kIncomplete[] = "; fetch or convert the file again";

}  // namespace

Result<Gguf> Gguf::open(const std::string& path, GgufTypes types) {
  Result<MappedFile> file = MappedFile::open(path);
  if (!file.ok()) return file.error();
  Result<Gguf> gguf = parse(file->bytes(), path, types);
  if (gguf.ok()) gguf->files_.push_back(std::move(*file));
  return gguf;
}

Result<Gguf> Gguf::parse(std::span<const uint8_t> bytes, std::string name, GgufTypes types) {
  return GgufParser(bytes, types).parse(std::move(name));
}

Status Gguf::index_tensors() {
  const auto name = [&](uint32_t i) { return std::string_view(tensors_[i].name); };
  tensors_by_name_.resize(tensors_.size());
  std::iota(tensors_by_name_.begin(), tensors_by_name_.end(), 0u);
  std::ranges::sort(tensors_by_name_, {}, name);
  const auto twice = std::ranges::adjacent_find(tensors_by_name_, {}, name);
  if (twice == tensors_by_name_.end()) return {};
  return Error{"tensor " + quote(name(*twice)) + " is there twice"};
}

const GgufTensor* Gguf::find_info(std::string_view name) const {
  const auto found = std::ranges::lower_bound(
      tensors_by_name_, name, {}, [&](uint32_t i) { return std::string_view(tensors_[i].name); });
  if (found == tensors_by_name_.end() || tensors_[*found].name != name) return nullptr;
  return &tensors_[*found];
}

const TensorView* Gguf::find_tensor(std::string_view name) const {
  const GgufTensor* tensor = find_info(name);
  return tensor == nullptr ? nullptr : &tensor->view;
}

std::string_view Gguf::type_name(std::string_view name) const {
  const GgufTensor* tensor = find_info(name);
  return tensor == nullptr ? "" : tensor->type->name;
}

const GgufValue* Gguf::find(std::string_view key) const {
  const auto found = std::ranges::lower_bound(entries_by_key_, key, {},
                                              [&](uint32_t i) { return entries_[i].key; });
  if (found == entries_by_key_.end() || entries_[*found].key != key) return nullptr;
  return &entries_[*found].value;
}

template <typename T>
Result<T> Gguf::get(std::string_view key, Result<T> (*convert)(const GgufValue&)) const {
  const GgufValue* value = find(key);
  if (value == nullptr) {
    return Error{path_ + ": metadata key " + quote(key) + " is missing" + kIncomplete};
  }
  Result<T> result = convert(*value);
  if (result.ok()) return result;
  return Error{path_ + ": metadata key " + quote(key) + " " + result.error().message};
}

Result<uint64_t> Gguf::get_u64(std::string_view key) const {
  return get<uint64_t>(key, [](const GgufValue& value) { return value.to_u64(); });
}

Result<double> Gguf::get_f64(std::string_view key) const {
  return get<double>(key, [](const GgufValue& value) { return value.to_f64(); });
}

Result<bool> Gguf::get_bool(std::string_view key) const {
  return get<bool>(key, [](const GgufValue& value) { return value.to_bool(); });
}

Result<std::string_view> Gguf::get_string(std::string_view key) const {
  return get<std::string_view>(key, [](const GgufValue& value) { return value.to_string(); });
}

Result<std::vector<std::string_view>> Gguf::get_strings(std::string_view key) const {
  return get<std::vector<std::string_view>>(
      key, [](const GgufValue& value) { return value.to_strings(); });
}

Result<std::vector<int32_t>> Gguf::get_i32s(std::string_view key) const {
  return get<std::vector<int32_t>>(key, [](const GgufValue& value) { return value.to_i32s(); });
}

Result<std::vector<float>> Gguf::get_f32s(std::string_view key) const {
  return get<std::vector<float>>(key, [](const GgufValue& value) { return value.to_f32s(); });
}

Result<uint64_t> Gguf::get_u64_or(std::string_view key, uint64_t otherwise) const {
  return find(key) == nullptr ? Result<uint64_t>(otherwise) : get_u64(key);
}

Result<double> Gguf::get_f64_or(std::string_view key, double otherwise) const {
  return find(key) == nullptr ? Result<double>(otherwise) : get_f64(key);
}

Result<bool> Gguf::get_bool_or(std::string_view key, bool otherwise) const {
  return find(key) == nullptr ? Result<bool>(otherwise) : get_bool(key);
}

Result<std::string_view> Gguf::get_string_or(std::string_view key,
                                             std::string_view otherwise) const {
  return find(key) == nullptr ? Result<std::string_view>(otherwise) : get_string(key);
}

}  // namespace forerun
