#include "formats/gguf_parts.h"

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <filesystem>
#include <iterator>
#include <system_error>
#include <utility>

#include "formats/quote.h"

namespace forerun {
namespace {

constexpr uint64_t kMaxParts = 65535;  // split.count is a u16

std::string suffix(uint64_t index, uint64_t count) {
  char text[64];
  std::snprintf(text, sizeof(text), "-%05" PRIu64 "-of-%05" PRIu64 ".gguf", index + 1, count);
  return text;
}

std::string part_name(uint64_t index, uint64_t count) {
  return "part " + std::to_string(index + 1) + " of " + std::to_string(count);
}

}  // namespace

Result<Gguf> GgufParts::open(const std::string& path, GgufTypes types) {
  Result<Gguf> gguf = Gguf::open(path, types);
  if (!gguf.ok() || gguf->find("split.count") == nullptr) return gguf;
  const Result<Part> part = part_of(*gguf);
  if (!part.ok()) return part.error();
  if (part->count == 1) return gguf;
  return GgufParts(path, types).open_all(*part);
}

Result<GgufParts::Part> GgufParts::part_of(const Gguf& gguf) {
  const Result<uint64_t> index = gguf.get_u64("split.no");
  if (!index.ok()) return index.error();
  const Result<uint64_t> count = gguf.get_u64("split.count");
  if (!count.ok()) return count.error();
  const Result<uint64_t> num_tensors = gguf.get_u64("split.tensors.count");
  if (!num_tensors.ok()) return num_tensors.error();
  if (*count < 1 || *count > kMaxParts || *index >= *count) {
    return Error{gguf.path() + ": split.no is " + std::to_string(*index) + " and split.count is " +
                 std::to_string(*count) + "; counts from 1 to " + std::to_string(kMaxParts) +
                 " and numbers below them are expected"};
  }
  return Part{*index, *count, *num_tensors};
}

Result<std::string> GgufParts::stem(const Part& part) const {
  const std::string ending = suffix(part.index, part.count);
  if (path_.ends_with(ending)) return path_.substr(0, path_.size() - ending.size());
  return Error{path_ + " is " + part_name(part.index, part.count) +
               " of a split file; give it a name that ends in " + ending +
               ", so that the other parts can be found beside it"};
}

Result<Gguf> GgufParts::open_all(const Part& named) {
  const Result<std::string> stem = this->stem(named);
  if (!stem.ok()) return stem.error();
  Part wanted = {0, named.count, named.num_tensors};
  Result<Gguf> whole = open_part(*stem + suffix(0, named.count), wanted);
  while (whole.ok() && ++wanted.index < wanted.count) {
    Result<Gguf> part = open_part(*stem + suffix(wanted.index, wanted.count), wanted);
    if (!part.ok()) return part.error();
    append(*whole, *std::move(part));
  }
  if (!whole.ok()) return whole.error();
  if (whole->tensors().size() != named.num_tensors) {
    return Error{path_ + ": split.tensors.count is " + std::to_string(named.num_tensors) +
                 ", but the " + std::to_string(named.count) + " parts have " +
                 std::to_string(whole->tensors().size()) + " tensors; fetch them again"};
  }
  if (Status status = whole->index_tensors(); !status.ok()) {
    return Error{path_ + ": " + status.error().message + " in its parts"};
  }
  return whole;
}

Result<Gguf> GgufParts::open_part(const std::string& path, const Part& wanted) const {
  std::error_code failure;
  if (!std::filesystem::exists(path, failure)) {
    return Error{path_ + " is split, and " + part_name(wanted.index, wanted.count) +
                 " is missing; put " + path + " beside the others"};
  }
  Result<Gguf> gguf = Gguf::open(path, types_);
  if (!gguf.ok()) return gguf;
  const Result<Part> part = part_of(*gguf);
  if (!part.ok()) return part.error();
  if (part->index == wanted.index && part->count == wanted.count &&
      part->num_tensors == wanted.num_tensors) {
    return gguf;
  }
  return Error{path + " says that it is " + part_name(part->index, part->count) + " with " +
               std::to_string(part->num_tensors) + " tensors, where " +
               part_name(wanted.index, wanted.count) + " with " +
               std::to_string(wanted.num_tensors) + " is expected; fetch the parts again"};
}

void GgufParts::append(Gguf& whole, Gguf part) {
  std::ranges::move(part.tensors_, std::back_inserter(whole.tensors_));
  std::ranges::move(part.files_, std::back_inserter(whole.files_));
  whole.size_bytes_ += part.size_bytes_;
}

}  // namespace forerun
