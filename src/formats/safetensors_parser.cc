#include "formats/safetensors_parser.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>

#include "formats/byte_reader.h"
#include "formats/quote.h"

namespace forerun {
namespace {

constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the safetensors library's own limit
// So many elements that their bits still fit in 64 bits.
constexpr uint64_t kMaxElements = std::numeric_limits<int64_t>::max() / 64;

std::string number(uint64_t value) {
  return std::to_string(value);
}

uint64_t element_bytes(const SafetensorsTensor& tensor) {
  return static_cast<uint64_t>(tensor.type->bits) / 8;
}

}  // namespace

Result<Safetensors> SafetensorsParser::parse(std::string name) {
  file_.path_ = std::move(name);
  file_.bytes_ = bytes_;
  using Stage = Status (SafetensorsParser::*)();
  constexpr Stage kStages[] = {&SafetensorsParser::read_header, &SafetensorsParser::read_tensors,
                               &SafetensorsParser::index_tensors, &SafetensorsParser::make_views};
  for (const Stage stage : kStages) {
    const Status status = (this->*stage)();
    if (!status.ok()) return Error{file_.path_ + ": " + status.error().message};
  }
  return std::move(file_);
}

Status SafetensorsParser::read_header() {
  ByteReader reader(bytes_);
  const auto length = reader.read<uint64_t>("header length");
  if (!length.ok()) return length.error();
  if (*length > kMaxHeaderBytes) {
    return Error{"the header's length is " + number(*length) + " bytes; the limit is " +
                 number(kMaxHeaderBytes) + " (is this a safetensors file?)"};
  }
  const auto json = reader.read_bytes("header", *length);
  if (!json.ok()) return json.error();
  if (json->empty() || json->front() != '{') {
    return Error{"not a safetensors file: its header does not start with '{'"};
  }
  data_begin_ = reader.offset();
  Result<SafetensorsHeader> header =
      read_safetensors_header({reinterpret_cast<const char*>(json->data()), json->size()});
  if (!header.ok()) return header.error();
  header_ = *std::move(header);
  file_.metadata_ = std::move(header_.metadata);
  return {};
}

Status SafetensorsParser::read_tensors() {
  file_.tensors_.reserve(header_.entries.size());
  for (SafetensorsEntry& entry : header_.entries) {
    Result<SafetensorsTensor> tensor = read_tensor(entry);
    if (!tensor.ok()) return tensor.error();
    file_.tensors_.push_back(*std::move(tensor));
  }
  header_ = {};
  return check_layout();
}

Result<SafetensorsTensor> SafetensorsParser::read_tensor(SafetensorsEntry& entry) const {
  SafetensorsTensor tensor;
  tensor.name = std::move(entry.name);
  tensor.type = entry.type;
  const std::string field = "tensor " + quote(tensor.name);
  uint64_t num_elements = 1;
  for (const uint64_t dim : entry.shape) {
    if (dim > kMaxElements || (dim > 0 && num_elements > kMaxElements / dim)) {
      return Error{field + " has a dimension of " + number(dim) + "; together " +
                   number(kMaxElements) + " elements are the limit"};
    }
    num_elements *= dim;
    tensor.view.shape.push_back(static_cast<int64_t>(dim));
  }
  const uint64_t bits = num_elements * static_cast<uint64_t>(tensor.type->bits);
  const uint64_t data_bytes = bytes_.size() - data_begin_;
  if (entry.begin > entry.end) {
    return Error{field + " begins at " + number(entry.begin) + ", after its end at " +
                 number(entry.end)};
  }
  if (entry.end > data_bytes) {
    return Error{field + " ends at " + number(entry.end) + ", but the file's data section has " +
                 number(data_bytes) + " bytes; is the file cut short?"};
  }
  tensor.size_bytes = entry.end - entry.begin;
  if (bits % 8 != 0 || tensor.size_bytes != bits / 8) {
    return Error{field + " of shape " + to_string(tensor.view.shape) + " and type " +
                 std::string(tensor.type->name) + " needs " + number((bits + 7) / 8) +
                 " bytes, it is given " + number(tensor.size_bytes)};
  }
  tensor.offset_bytes = data_begin_ + entry.begin;
  return tensor;
}

// The format allows neither gaps nor overlaps: every byte belongs to one tensor.
Status SafetensorsParser::check_layout() const {
  std::vector<uint32_t> order(file_.tensors_.size());
  std::iota(order.begin(), order.end(), 0u);
  std::ranges::sort(order, {}, [&](uint32_t i) {
    const SafetensorsTensor& tensor = file_.tensors_[i];
    return std::pair(tensor.offset_bytes, tensor.size_bytes);
  });
  uint64_t end = data_begin_;
  for (const uint32_t i : order) {
    const SafetensorsTensor& tensor = file_.tensors_[i];
    if (tensor.offset_bytes != end) {
      return Error{"tensor " + quote(tensor.name) + " begins at " +
                   number(tensor.offset_bytes - data_begin_) +
                   (tensor.offset_bytes < end ? ", inside the tensor before it, which ends at "
                                              : ", after a gap: the tensor before it ends at ") +
                   number(end - data_begin_)};
    }
    end += tensor.size_bytes;
  }
  if (end == bytes_.size()) return {};
  return Error{"the data section has " + number(bytes_.size() - data_begin_) +
               " bytes, of which the tensors fill " + number(end - data_begin_)};
}

Status SafetensorsParser::index_tensors() {
  std::ranges::sort(file_.tensors_, {}, &SafetensorsTensor::name);
  const auto twice = std::ranges::adjacent_find(file_.tensors_, {}, &SafetensorsTensor::name);
  if (twice == file_.tensors_.end()) return {};
  return Error{"tensor " + quote(twice->name) + " is there twice"};
}

Status SafetensorsParser::make_views() {
  uint64_t copied_bytes = 0;
  std::vector<SafetensorsTensor*> to_copy;
  for (SafetensorsTensor& tensor : file_.tensors_) {
    if (!tensor.type->dtype.has_value()) continue;
    tensor.view.dtype = *tensor.type->dtype;
    tensor.view.data = bytes_.data() + tensor.offset_bytes;
    const auto address = reinterpret_cast<uintptr_t>(tensor.view.data);
    if (address % element_bytes(tensor) == 0 || tensor.size_bytes == 0) continue;
    to_copy.push_back(&tensor);
    copied_bytes += (tensor.size_bytes + 3) & ~uint64_t{3};  // the largest element has 4 bytes
  }
  if (to_copy.empty()) return {};
  file_.copies_ = Buffer(copied_bytes);
  uint8_t* copy = file_.copies_.data();
  for (SafetensorsTensor* tensor : to_copy) {
    std::memcpy(copy, tensor->view.data, tensor->size_bytes);
    tensor->view.data = copy;
    copy += (tensor->size_bytes + 3) & ~uint64_t{3};
  }
  return {};
}

}  // namespace forerun
