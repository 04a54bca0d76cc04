#include "formats/json_members.h"

#include <cmath>

namespace forerun {

const Json* JsonMembers::find(const char* name) const {
  const auto member = object_.find(name);
  return member == object_.end() || member->is_null() ? nullptr : &*member;
}

const Json* JsonMembers::require(const char* name) {
  const Json* value = find(name);
  if (value == nullptr) fail(std::string(name) + " is missing");
  return value;
}

int64_t JsonMembers::to_size(const char* name, const Json& value) {
  const double number = value.is_number() ? value.get<double>() : -1.0;
  if (!(number >= 0.0) || number > 9e15 || number != std::floor(number)) {
    wrong(name, value, "a whole number, not negative");
    return 0;
  }
  return static_cast<int64_t>(number);
}

int64_t JsonMembers::to_count(const char* name, const Json& value, int64_t most) {
  if (value.is_number_integer() && value >= 1 && value <= most) return value.get<int64_t>();
  wrong(name, value, "a whole number from 1 to " + std::to_string(most));
  return 0;
}

double JsonMembers::to_real(const char* name, const Json& value) {
  if (!value.is_number()) wrong(name, value, "a number");
  return value.is_number() ? value.get<double>() : 0.0;
}

int64_t JsonMembers::size(const char* name) {
  const Json* value = require(name);
  return value == nullptr ? 0 : to_size(name, *value);
}

int64_t JsonMembers::size_or(const char* name, int64_t otherwise) {
  const Json* value = find(name);
  return value == nullptr ? otherwise : to_size(name, *value);
}

int64_t JsonMembers::count(const char* name, int64_t most) {
  const Json* value = require(name);
  return value == nullptr ? 0 : to_count(name, *value, most);
}

int64_t JsonMembers::count_or(const char* name, int64_t otherwise, int64_t most) {
  const Json* value = find(name);
  return value == nullptr ? otherwise : to_count(name, *value, most);
}

double JsonMembers::real(const char* name) {
  const Json* value = require(name);
  return value == nullptr ? 0.0 : to_real(name, *value);
}

double JsonMembers::real_or(const char* name, double otherwise) {
  const Json* value = find(name);
  return value == nullptr ? otherwise : to_real(name, *value);
}

bool JsonMembers::truth_or(const char* name, bool otherwise) {
  const Json* value = find(name);
  if (value == nullptr) return otherwise;
  if (!value->is_boolean()) wrong(name, *value, "true or false");
  return value->is_boolean() && value->get<bool>();
}

std::string JsonMembers::text_or(const char* name, std::string otherwise) {
  const Json* value = find(name);
  if (value == nullptr) return otherwise;
  if (!value->is_string()) wrong(name, *value, "a string");
  return value->is_string() ? value->get<std::string>() : "";
}

void JsonMembers::wrong(const char* name, const Json& value, const std::string& wanted) {
  std::string shown = value.dump(-1, ' ', true, Json::error_handler_t::replace);
  if (shown.size() > 60) shown = shown.substr(0, 60) + "…";
  fail(std::string(name) + " is " + shown + "; it must be " + wanted);
}

void JsonMembers::fail(const std::string& message) {
  if (status_.ok()) status_ = Error{path_ + ": " + message};
}

}  // namespace forerun
