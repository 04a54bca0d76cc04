#include "formats/gguf_parser.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <numeric>

#include "formats/quote.h"

namespace forerun {
namespace {

constexpr uint64_t kMaxDims = 4;
constexpr uint64_t kDefaultAlignment = 32;
// Below 8 a tensor of floats could start at an odd address; above a large page nothing is gained
// and a header could ask for any amount of padding.
constexpr uint64_t kMinAlignment = 8;
constexpr uint64_t kMaxAlignment = 2 << 20;
constexpr uint64_t kMaxKeyBytes = 65535;  // the format's own limit
constexpr uint64_t kMaxTensorNameBytes = 255;
// The smallest that one can be: length, one character, type, value or dimensions, type, offset.
constexpr uint64_t kMinEntryBytes = 8 + 1 + 4 + 1;
constexpr uint64_t kMinTensorInfoBytes = 8 + 1 + 4 + 8 + 4 + 8;
constexpr uint64_t kMaxElements = std::numeric_limits<int64_t>::max();

std::string number(uint64_t value) {
  return std::to_string(value);
}

Status check_count(const char* field, uint64_t count, uint64_t min_bytes, uint64_t left) {
  if (count <= left / min_bytes) return {};
  return Error{std::string(field) + " is " + number(count) + ", but the " + number(left) +
               " bytes left hold at most " + number(left / min_bytes)};
}

Status check_name(const std::string& field, std::string_view name, uint64_t max_bytes) {
  if (name.empty()) return Error{field + " is empty"};
  if (name.size() <= max_bytes) return {};
  return Error{field + " has " + number(name.size()) + " bytes; the limit is " + number(max_bytes)};
}

template <typename Name>
std::vector<uint32_t> sorted_indices(size_t count, Name name) {
  std::vector<uint32_t> indices(count);
  std::iota(indices.begin(), indices.end(), 0u);
  std::ranges::sort(indices, {}, name);
  return indices;
}

}  // namespace

Result<Gguf> GgufParser::parse(std::string name) {
  gguf_.path_ = std::move(name);
  gguf_.size_bytes_ = bytes_.size();
  using Stage = Status (GgufParser::*)();
  constexpr Stage kStages[] = {&GgufParser::read_header,   &GgufParser::read_entries,
                               &GgufParser::index_entries, &GgufParser::read_alignment,
                               &GgufParser::read_tensors,  &GgufParser::index_tensors,
                               &GgufParser::place_tensors};
  for (const Stage stage : kStages) {
    const Status status = (this->*stage)();
    if (!status.ok()) return Error{gguf_.path_ + ": " + status.error().message};
  }
  const Status status = check_overlap();
  if (!status.ok()) return Error{gguf_.path_ + ": " + status.error().message};
  return std::move(gguf_);
}

Status GgufParser::read_header() {
  const auto magic = reader_.read<uint32_t>("magic");
  if (!magic.ok()) return magic.error();
  if (*magic != kGgufMagic) return Error{"not a GGUF file: it does not start with 'GGUF'"};
  const auto version = reader_.read<uint32_t>("version");
  if (!version.ok()) return version.error();
  // Small numbers read with the bytes the wrong way round have empty low halves.
  if (*version != 0 && (*version & 0xffff) == 0) {
    return Error{"the file is big-endian GGUF; convert it to little-endian first"};
  }
  if (*version != 2 && *version != 3) {
    return Error{"GGUF version is " + number(*version) + "; versions 2 and 3 are supported"};
  }
  gguf_.version_ = *version;
  const auto num_tensors = reader_.read<uint64_t>("tensor count");
  if (!num_tensors.ok()) return num_tensors.error();
  const auto num_entries = reader_.read<uint64_t>("metadata count");
  if (!num_entries.ok()) return num_entries.error();
  num_tensors_ = *num_tensors;
  num_entries_ = *num_entries;
  Status status = check_count("metadata count", num_entries_, kMinEntryBytes, reader_.left());
  if (!status.ok()) return status;
  return check_count("tensor count", num_tensors_, kMinTensorInfoBytes, reader_.left());
}

Status GgufParser::read_entries() {
  for (uint64_t i = 0; i < num_entries_; ++i) {
    Result<GgufEntry> entry = read_entry(i);
    if (!entry.ok()) return entry.error();
    gguf_.entries_.push_back(*std::move(entry));
  }
  return {};
}

Result<GgufEntry> GgufParser::read_entry(uint64_t index) {
  const std::string key_field = "metadata key " + number(index);
  const auto key = reader_.read_string(key_field);
  if (!key.ok()) return key.error();
  const Status status = check_name(key_field, *key, kMaxKeyBytes);
  if (!status.ok()) return status.error();
  const auto value = read_value("metadata key " + quote(*key));
  if (!value.ok()) return value.error();
  return GgufEntry{*key, *value};
}

Result<GgufValue> GgufParser::read_value(const std::string& field) {
  const auto type = reader_.read<uint32_t>(field);
  if (!type.ok()) return type.error();
  if (*type >= kNumGgufValueTypes) {
    return Error{field + " has type " + number(*type) + "; types 0 to " +
                 number(kNumGgufValueTypes - 1) + " are known"};
  }
  GgufValue value;
  value.type = static_cast<GgufValueType>(*type);
  if (value.is_array()) return read_array(field);
  if (value.type == GgufValueType::kString) {
    const auto text = reader_.read_string(field);
    if (!text.ok()) return text.error();
    value.bytes = {reinterpret_cast<const uint8_t*>(text->data()), text->size()};
    return value;
  }
  const auto bytes = reader_.read_bytes(field, size_bytes_of(value.type));
  if (!bytes.ok()) return bytes.error();
  value.bytes = *bytes;
  const Status status = check_bools(value, field);
  if (!status.ok()) return status.error();
  return value;
}

Result<GgufValue> GgufParser::read_array(const std::string& field) {
  const auto type = reader_.read<uint32_t>(field);
  if (!type.ok()) return type.error();
  if (*type == static_cast<uint32_t>(GgufValueType::kArray)) {
    return Error{field + " is an array of arrays; one level is the limit"};
  }
  if (*type >= kNumGgufValueTypes) {
    return Error{field + " is an array of type " + number(*type) + "; types 0 to " +
                 number(kNumGgufValueTypes - 1) + " are known"};
  }
  const auto count = reader_.read<uint64_t>(field);
  if (!count.ok()) return count.error();
  GgufValue value{GgufValueType::kArray, static_cast<GgufValueType>(*type), *count, {}};
  const bool strings = value.element_type == GgufValueType::kString;
  const uint64_t element_bytes = strings ? 8 : size_bytes_of(value.element_type);
  const uint64_t left = reader_.left();
  if (*count > left / element_bytes) {
    return Error{field + " has " + number(*count) + " elements, but the " + number(left) +
                 " bytes left hold at most " + number(left / element_bytes)};
  }
  const uint64_t begin = reader_.offset();
  if (strings) {
    for (uint64_t i = 0; i < *count; ++i) {
      const auto text = reader_.read_string(field);
      if (!text.ok()) return text.error();
    }
  } else {
    const auto skipped = reader_.read_bytes(field, *count * element_bytes);
    if (!skipped.ok()) return skipped.error();
  }
  value.bytes = bytes_.subspan(begin, reader_.offset() - begin);
  const Status status = check_bools(value, field);
  if (!status.ok()) return status.error();
  return value;
}

Status GgufParser::check_bools(const GgufValue& value, const std::string& field) const {
  const GgufValueType type = value.is_array() ? value.element_type : value.type;
  if (type != GgufValueType::kBool) return {};
  const auto odd = std::ranges::find_if(value.bytes, [](uint8_t byte) { return byte > 1; });
  if (odd == value.bytes.end()) return {};
  return Error{field + " holds a bool of " + number(*odd) + "; 0 and 1 are the limits"};
}

Status GgufParser::index_entries() {
  const auto key = [&](uint32_t i) { return gguf_.entries_[i].key; };
  gguf_.entries_by_key_ = sorted_indices(gguf_.entries_.size(), key);
  const auto twice = std::ranges::adjacent_find(gguf_.entries_by_key_, {}, key);
  if (twice == gguf_.entries_by_key_.end()) return {};
  return Error{"metadata key " + quote(key(*twice)) + " is there twice"};
}

Status GgufParser::read_alignment() {
  gguf_.alignment_ = kDefaultAlignment;
  const GgufValue* value = gguf_.find("general.alignment");
  if (value == nullptr) return {};
  const auto alignment = value->to_u64();
  if (!alignment.ok()) {
    return Error{"metadata key 'general.alignment' " + alignment.error().message};
  }
  if (!std::has_single_bit(*alignment) || *alignment < kMinAlignment ||
      *alignment > kMaxAlignment) {
    return Error{"metadata key 'general.alignment' is " + number(*alignment) +
                 "; a power of two from " + number(kMinAlignment) + " to " + number(kMaxAlignment) +
                 " is expected"};
  }
  gguf_.alignment_ = *alignment;
  return {};
}

Status GgufParser::read_tensors() {
  for (uint64_t i = 0; i < num_tensors_; ++i) {
    Result<GgufTensor> tensor = read_tensor(i);
    if (!tensor.ok()) return tensor.error();
    gguf_.tensors_.push_back(*std::move(tensor));
  }
  return {};
}

Result<GgufTensor> GgufParser::read_tensor(uint64_t index) {
  const std::string name_field = "name of tensor " + number(index);
  const auto name = reader_.read_string(name_field);
  if (!name.ok()) return name.error();
  Status status = check_name(name_field, *name, kMaxTensorNameBytes);
  if (!status.ok()) return status.error();
  GgufTensor tensor;
  tensor.name = *name;
  const std::string field = "tensor " + quote(*name);
  status = read_shape(tensor, field);
  if (!status.ok()) return status.error();
  status = read_type(tensor, field);
  if (!status.ok()) return status.error();
  status = measure(tensor, field);
  if (!status.ok()) return status.error();
  const auto offset = reader_.read<uint64_t>(field + ": offset");
  if (!offset.ok()) return offset.error();
  tensor.offset_bytes = *offset;
  return tensor;
}

Status GgufParser::read_shape(GgufTensor& tensor, const std::string& field) {
  const auto num_dims = reader_.read<uint32_t>(field + ": dimension count");
  if (!num_dims.ok()) return num_dims.error();
  if (*num_dims < 1 || *num_dims > kMaxDims) {
    return Error{field + " has " + number(*num_dims) + " dimensions; 1 to " + number(kMaxDims) +
                 " are supported"};
  }
  uint64_t num_elements = 1;
  for (uint32_t i = 0; i < *num_dims; ++i) {
    const auto dim = reader_.read<uint64_t>(field + ": dimension");
    if (!dim.ok()) return dim.error();
    if (*dim < 1 || *dim > kMaxElements / num_elements) {
      return Error{field + ": dimension " + number(i) + " is " + number(*dim) + "; 1 to " +
                   number(kMaxElements / num_elements) + " is possible there"};
    }
    num_elements *= *dim;
    tensor.view.shape.push_back(static_cast<int64_t>(*dim));
  }
  // The file counts dimensions from the innermost.
  std::ranges::reverse(tensor.view.shape);
  return {};
}

Status GgufParser::read_type(GgufTensor& tensor, const std::string& field) {
  const auto id = reader_.read<uint32_t>(field + ": type");
  if (!id.ok()) return id.error();
  tensor.type = find_ggml_type(*id);
  if (tensor.type == nullptr) {
    return Error{field + " has type number " + number(*id) + ", which stands for nothing; " +
                 supported_ggml_types() +
                 " are supported (quantise the original again to one of them)"};
  }
  const bool known = tensor.type->block_elements > 0;
  if (!known || (types_ == GgufTypes::kSupported && !tensor.type->dtype.has_value())) {
    return Error{field + " has type " + std::string(tensor.type->name) + "; " +
                 supported_ggml_types() +
                 " are supported (quantise the original again to one of them)"};
  }
  return {};
}

Status GgufParser::measure(GgufTensor& tensor, const std::string& field) const {
  const int64_t row = tensor.view.shape.back();
  const int64_t num_blocks = tensor.view.num_elements() / tensor.type->block_elements;
  if (row % tensor.type->block_elements != 0) {
    return Error{field + " has rows of " + std::to_string(row) + " elements; type " +
                 std::string(tensor.type->name) + " needs a multiple of " +
                 std::to_string(tensor.type->block_elements)};
  }
  if (num_blocks > std::numeric_limits<int64_t>::max() / tensor.type->block_bytes) {
    return Error{field + " of shape " + to_string(tensor.view.shape) +
                 " has more bytes than 64 bits can count"};
  }
  tensor.size_bytes = static_cast<uint64_t>(num_blocks) * tensor.type->block_bytes;
  return {};
}

Status GgufParser::place_tensors() {
  const uint64_t mask = gguf_.alignment_ - 1;
  const uint64_t data_begin = (reader_.offset() + mask) & ~mask;
  const uint64_t data_bytes = bytes_.size() > data_begin ? bytes_.size() - data_begin : 0;
  for (GgufTensor& tensor : gguf_.tensors_) {
    const std::string field = "tensor " + quote(tensor.name);
    const uint64_t offset = tensor.offset_bytes;
    if ((offset & mask) != 0) {
      return Error{field + " has offset " + number(offset) + ", which is not a multiple of the " +
                   "alignment " + number(gguf_.alignment_)};
    }
    if (offset > data_bytes || tensor.size_bytes > data_bytes - offset) {
      return Error{field + " of shape " + to_string(tensor.view.shape) + " and type " +
                   std::string(tensor.type->name) + " needs " + number(tensor.size_bytes) +
                   " bytes at offset " + number(offset) + ", but the file's data section has " +
                   number(data_bytes) + "; is the file cut short?"};
    }
    tensor.offset_bytes = data_begin + offset;
    if (!tensor.type->dtype.has_value()) continue;
    tensor.view.dtype = *tensor.type->dtype;
    tensor.view.data = bytes_.data() + tensor.offset_bytes;
  }
  return {};
}

Status GgufParser::check_overlap() const {
  const auto& tensors = gguf_.tensors_;
  const auto order =
      sorted_indices(tensors.size(), [&](uint32_t i) { return tensors[i].offset_bytes; });
  for (size_t i = 1; i < order.size(); ++i) {
    const GgufTensor& before = tensors[order[i - 1]];
    const GgufTensor& after = tensors[order[i]];
    if (before.offset_bytes + before.size_bytes > after.offset_bytes) {
      return Error{"tensors " + quote(before.name) + " and " + quote(after.name) +
                   " overlap at offset " + number(after.offset_bytes)};
    }
  }
  return {};
}

}  // namespace forerun
