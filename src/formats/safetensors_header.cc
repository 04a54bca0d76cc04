#include "formats/safetensors_header.h"

#include <algorithm>
#include <array>

#include "base/json.h"
#include "formats/quote.h"

namespace forerun {
namespace {

constexpr size_t kMaxDims = 8;
constexpr size_t kMaxNameBytes = 1024;
constexpr char kMetadataKey[] = "__metadata__";

// Sub-byte types are packed.
constexpr SafetensorsType kTypes[] = {
    {"F32", 32, DType::kF32},
    {"F16", 16, DType::kF16},
    {"BF16", 16, DType::kBF16},
    {"F64", 64, {}},
    {"I64", 64, {}},
    {"I32", 32, {}},
    {"I16", 16, {}},
    {"I8", 8, {}},
    {"U64", 64, {}},
    {"U32", 32, {}},
    {"U16", 16, {}},
    {"U8", 8, {}},
    {"BOOL", 8, {}},
    {"F8_E4M3", 8, {}},
    {"F8_E5M2", 8, {}},
    {"F8_E8M0", 8, {}},
    {"F8_E4M3FNUZ", 8, {}},
    {"F8_E5M2FNUZ", 8, {}},
    {"F6_E2M3", 6, {}},
    {"F6_E3M2", 6, {}},
    {"F4", 4, {}},
    {"C64", 64, {}},
};

const SafetensorsType* find_type(std::string_view name) {
  const auto* found = std::ranges::find(kTypes, name, &SafetensorsType::name);
  return found == std::end(kTypes) ? nullptr : found;
}

enum class Field : uint8_t { kDtype, kShape, kOffsets };
constexpr std::array<std::string_view, 3> kFieldNames = {"dtype", "shape", "data_offsets"};
constexpr std::array<std::string_view, 3> kFieldKinds = {"a string", "an array of numbers",
                                                         "an array of two numbers"};

// Called by the JSON parser, value by value; every function says whether to go on.
class HeaderReader final {
 public:
  Result<SafetensorsHeader> finish() && {
    if (error_.empty()) return std::move(header_);
    return Error{"the header " + error_};
  }

  bool null() { return unexpected("null"); }
  bool boolean(bool) { return unexpected("a bool"); }
  bool binary(Json::binary_t&) { return unexpected("binary"); }
  bool number_integer(int64_t value) { return unexpected(std::to_string(value)); }
  bool number_float(double, const std::string& text) { return unexpected(quote(text, 40)); }

  bool number_unsigned(uint64_t value) {
    if (place_ != Place::kNumbers) return unexpected("a number");
    const size_t limit = field_ == Field::kShape ? kMaxDims : 2;
    if (numbers_.size() == limit) {
      return fail("gives " + field() + " more than " + std::to_string(limit) + " numbers");
    }
    numbers_.push_back(value);
    return true;
  }

  bool string(std::string& text) {
    if (place_ == Place::kMetadata) {
      header_.metadata.emplace_back(key_, std::move(text));
      return true;
    }
    if (place_ != Place::kFields || field_ != Field::kDtype) return unexpected("a string");
    entry().type = find_type(text);
    if (entry().type != nullptr) return true;
    return fail("gives " + field() + " as " + quote(text, 40) + ", which stands for nothing known");
  }

  bool start_object(size_t) {
    if (place_ == Place::kOutside) {
      place_ = Place::kTensors;
    } else if (place_ == Place::kTensors && key_ == kMetadataKey) {
      place_ = Place::kMetadata;
    } else if (place_ == Place::kTensors) {
      place_ = Place::kFields;
      seen_ = {};
      header_.entries.push_back({key_, nullptr, {}, 0, 0});
    } else {
      return unexpected("an object");
    }
    return true;
  }

  bool key(std::string& text) {
    if (place_ == Place::kFields) return begin_field(text);
    if (text.size() > kMaxNameBytes) {
      return fail("has a name of " + std::to_string(text.size()) + " bytes; the limit is " +
                  std::to_string(kMaxNameBytes));
    }
    key_ = std::move(text);
    return true;
  }

  bool end_object() {
    if (place_ == Place::kFields) {
      for (size_t i = 0; i < seen_.size(); ++i) {
        if (!seen_[i]) {
          return fail("gives tensor " + quote(entry().name) + " no " + std::string(kFieldNames[i]));
        }
      }
    }
    place_ = place_ == Place::kTensors ? Place::kOutside : Place::kTensors;
    return true;
  }

  bool start_array(size_t) {
    if (place_ != Place::kFields || field_ == Field::kDtype) return unexpected("an array");
    place_ = Place::kNumbers;
    numbers_.clear();
    return true;
  }

  bool end_array() {
    place_ = Place::kFields;
    if (field_ == Field::kShape) {
      entry().shape = numbers_;
      return true;
    }
    if (numbers_.size() != 2) return fail("gives " + field() + " fewer than 2 numbers");
    entry().begin = numbers_[0];
    entry().end = numbers_[1];
    return true;
  }

  bool parse_error(size_t position, const std::string&, const Json::exception&) {
    return fail("is not valid JSON at byte " + std::to_string(position));
  }

 private:
  enum class Place : uint8_t { kOutside, kTensors, kMetadata, kFields, kNumbers };

  SafetensorsEntry& entry() { return header_.entries.back(); }

  std::string field() {
    return "the " + std::string(kFieldNames[static_cast<size_t>(field_)]) + " of tensor " +
           quote(entry().name);
  }

  bool begin_field(const std::string& name) {
    const auto* found = std::ranges::find(kFieldNames, name);
    if (found == kFieldNames.end()) {
      return fail("gives tensor " + quote(entry().name) + " a field " + quote(name) +
                  ", which is not known");
    }
    field_ = static_cast<Field>(found - kFieldNames.begin());
    bool& seen = seen_[static_cast<size_t>(field_)];
    if (seen) return fail("gives " + field() + " twice");
    return seen = true;
  }

  bool unexpected(const std::string& what) {
    switch (place_) {
      case Place::kOutside:
        return fail("is " + what + "; an object is expected");
      case Place::kTensors:
        return fail("gives " + quote(key_) + " as " + what + "; an object is expected");
      case Place::kMetadata:
        return fail("gives metadata " + quote(key_) + " as " + what + "; a string is expected");
      case Place::kNumbers:
        return fail("has " + what + " in " + field() + "; whole numbers from 0 are expected");
      default:
        return fail("gives " + field() + " as " + what + "; " +
                    std::string(kFieldKinds[static_cast<size_t>(field_)]) + " is expected");
    }
  }

  bool fail(std::string sentence) {
    error_ = std::move(sentence);
    return false;
  }

  SafetensorsHeader header_;
  std::string error_;
  Place place_ = Place::kOutside;
  std::string key_;  // a tensor's name, or the metadata's
  Field field_ = Field::kDtype;
  std::array<bool, kFieldNames.size()> seen_ = {};  // the fields of entry()
  std::vector<uint64_t> numbers_;
};

}  // namespace

Result<SafetensorsHeader> read_safetensors_header(std::string_view json) {
  HeaderReader reader;
  Json::sax_parse(json, &reader);
  return std::move(reader).finish();
}

}  // namespace forerun
