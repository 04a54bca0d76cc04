#include "server/json_fields.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/json.h"

namespace forerun {
namespace {

// A hundred thousand messages, or the token ids of a long prompt, and some tenths of a second.
constexpr JsonLimits kBodyLimits = {
    .max_depth = 64, .max_values = 2'000'000, .max_comparisons = 100'000'000};

}  // namespace

Checked<OrderedJson> parse_body(std::string_view body) {
  if (const Status status = check_json_limits(body, kBodyLimits); !status.ok()) {
    return RequestError{400, "the body: " + status.error().message, {}, {}};
  }
  try {
    OrderedJson json = OrderedJson::parse(body);
    if (!json.is_object()) {
      return RequestError{
          400,
          std::string("the body is ") + json_kind(json) + "; it must be a JSON object",
          {},
          {}};
    }
    return json;
  } catch (const OrderedJson::parse_error& error) {
    return RequestError{400, "the body is no JSON: " + std::string(error.what()), {}, {}};
  } catch (const std::exception& error) {
    return RequestError{400, error.what(), {}, {}};
  }
}

const char* json_kind(const OrderedJson& value) {
  switch (value.type()) {
    case OrderedJson::value_t::null:
      return "null";
    case OrderedJson::value_t::object:
      return "an object";
    case OrderedJson::value_t::array:
      return "a list";
    case OrderedJson::value_t::string:
      return "a string";
    case OrderedJson::value_t::boolean:
      return "a boolean";
    default:
      return "a number";
  }
}

std::optional<int64_t> exact_integer(const OrderedJson& value) {
  constexpr auto kMost = std::numeric_limits<int64_t>::max();
  if (value.is_number_unsigned()) {
    const auto number = value.get<uint64_t>();
    if (number > static_cast<uint64_t>(kMost)) return std::nullopt;
    return static_cast<int64_t>(number);
  }
  if (value.is_number_integer()) return value.get<int64_t>();
  if (!value.is_number_float()) return std::nullopt;
  const auto number = value.get<double>();
  // −2^63 as a double may have been written as an integer below it.
  if (!(number > -0x1p63 && number < 0x1p63) || number != std::floor(number)) return std::nullopt;
  return static_cast<int64_t>(number);
}

std::optional<int32_t> read_token_id(const OrderedJson& value, int64_t vocab_size) {
  const std::optional<int64_t> id = exact_integer(value);
  if (!id || *id < 0 || *id >= vocab_size) return std::nullopt;
  return static_cast<int32_t>(*id);
}

JsonFields::JsonFields(const OrderedJson& object, std::string path)
    : object_(object), path_(std::move(path)) {}

const OrderedJson* JsonFields::any(const std::string& name) const {
  if (!object_.is_object()) return nullptr;
  const auto found = object_.find(name);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

const OrderedJson* JsonFields::find(const std::string& name) const {
  return error_ ? nullptr : any(name);
}

void JsonFields::refuse_with(const std::string& name, const std::string& sentence,
                             const std::string& code) {
  if (!error_) error_ = RequestError{400, sentence, path_ + name, code};
}

void JsonFields::refuse_with(const RequestError& error) {
  if (!error_) error_ = error;
}

void JsonFields::refuse(const std::string& name, const std::string& sentence,
                        const std::string& code) {
  refuse_with(name, path_ + name + " " + sentence, code);
}

void JsonFields::take_error(const JsonFields& other) {
  if (!error_) error_ = other.error_;
}

void JsonFields::wrong_type(const std::string& name, const OrderedJson& value, const char* wanted) {
  refuse(name, std::string("is ") + json_kind(value) + "; it must be " + wanted);
}

std::optional<bool> JsonFields::flag(const std::string& name) {
  const OrderedJson* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (value->is_boolean()) return value->get<bool>();
  wrong_type(name, *value, "true or false");
  return std::nullopt;
}

std::optional<int64_t> JsonFields::integer(const std::string& name, int64_t least, int64_t most) {
  const OrderedJson* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number()) {
    wrong_type(name, *value, "an integer");
    return std::nullopt;
  }
  const std::optional<int64_t> number = exact_integer(*value);
  if (number && *number >= least && *number <= most) return number;
  refuse(name, "is " + value->dump() + "; it must be an integer from " + std::to_string(least) +
                   " to " + std::to_string(most));
  return std::nullopt;
}

std::optional<uint64_t> JsonFields::bits(const std::string& name) {
  const OrderedJson* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (value->is_number_unsigned()) return value->get<uint64_t>();
  if (const std::optional<int64_t> number = exact_integer(*value)) {
    return static_cast<uint64_t>(*number);
  }
  if (!value->is_number()) {
    wrong_type(name, *value, "an integer");
  } else {
    refuse(name, "is " + value->dump() + "; it must be an integer of 64 bits");
  }
  return std::nullopt;
}

std::optional<float> JsonFields::number(const std::string& name) {
  constexpr double kMost = std::numeric_limits<float>::max();
  const OrderedJson* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (value->is_number()) {
    return static_cast<float>(std::clamp(value->get<double>(), -kMost, kMost));
  }
  wrong_type(name, *value, "a number");
  return std::nullopt;
}

std::optional<std::string> JsonFields::text(const std::string& name) {
  const OrderedJson* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (value->is_string()) return value->get<std::string>();
  wrong_type(name, *value, "a string");
  return std::nullopt;
}

std::optional<std::vector<std::string>> JsonFields::texts(const std::string& name, size_t most) {
  const OrderedJson* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (value->is_string()) return std::vector<std::string>{value->get<std::string>()};
  if (!value->is_array()) {
    wrong_type(name, *value, "a string or a list of strings");
    return std::nullopt;
  }
  if (value->size() > most) {
    refuse(name, "has " + std::to_string(value->size()) + " strings; the limit is " +
                     std::to_string(most));
    return std::nullopt;
  }
  std::vector<std::string> texts;
  for (const OrderedJson& element : *value) {
    if (!element.is_string()) {
      wrong_type(name + "[" + std::to_string(texts.size()) + "]", element, "a string");
      return std::nullopt;
    }
    texts.push_back(element.get<std::string>());
  }
  return texts;
}

std::optional<std::vector<int32_t>> JsonFields::token_ids(const std::string& name,
                                                          int64_t vocab_size, size_t most) {
  const OrderedJson* value = list(name);
  if (value == nullptr) return std::nullopt;
  if (value->size() > most) {
    refuse(name, "has " + std::to_string(value->size()) + " token ids; the limit is " +
                     std::to_string(most));
    return std::nullopt;
  }
  std::vector<int32_t> ids;
  for (const OrderedJson& element : *value) {
    const std::optional<int32_t> id = read_token_id(element, vocab_size);
    if (!id) {
      refuse(name + "[" + std::to_string(ids.size()) + "]",
             "must be a token id from 0 to " + std::to_string(vocab_size - 1));
      return std::nullopt;
    }
    ids.push_back(*id);
  }
  return ids;
}

const OrderedJson* JsonFields::object(const std::string& name) {
  const OrderedJson* value = find(name);
  if (value == nullptr || value->is_object()) return value;
  wrong_type(name, *value, "an object");
  return nullptr;
}

const OrderedJson* JsonFields::list(const std::string& name) {
  const OrderedJson* value = find(name);
  if (value == nullptr || value->is_array()) return value;
  wrong_type(name, *value, "a list");
  return nullptr;
}

}  // namespace forerun
