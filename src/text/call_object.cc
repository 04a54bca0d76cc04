#include "text/call_object.h"

#include <utility>

#include "base/json.h"

namespace forerun {
namespace {

constexpr size_t kMaxNameBytes = 256;  // of keys too

std::optional<std::string> unquoted(const std::string& json) {
  const Result<Json> value = parse_json(json);
  if (!value.ok() || !value->is_string()) return std::nullopt;
  return value->get<std::string>();
}

}  // namespace

CallObject::Step CallObject::push(char byte) {
  if (state_ == State::kInKey) return in_key(byte);
  if (state_ == State::kInValue) return in_value(byte);
  if (is_json_space(byte)) return Step::kMore;
  switch (state_) {
    case State::kOpen:
      state_ = State::kKeyOrClose;
      return byte == '{' ? Step::kMore : Step::kError;
    case State::kKeyOrClose:
      return byte == '}' ? finish() : begin_string(byte);
    case State::kColon:
      state_ = State::kValue;
      return byte == ':' ? Step::kMore : Step::kError;
    case State::kValue:
      return begin_value(byte);
    case State::kNext:
      if (byte == '}') return finish();
      state_ = State::kKey;
      return byte == ',' ? Step::kMore : Step::kError;
    default:
      return begin_string(byte);
  }
}

CallObject::Step CallObject::begin_string(char byte) {
  state_ = State::kInKey;
  scanner_ = JsonScanner();
  read_ = byte;
  if (byte != '"') return Step::kError;
  scanner_.push(byte);
  return Step::kMore;
}

CallObject::Step CallObject::in_key(char byte) {
  const JsonScanner::Step step = scanner_.push(byte);
  read_ += byte;
  if (step == JsonScanner::Step::kError || read_.size() > kMaxNameBytes) return Step::kError;
  if (step == JsonScanner::Step::kMore) return Step::kMore;
  field_ = read_ == "\"name\""                                     ? Field::kName
           : read_ == "\"arguments\"" || read_ == "\"parameters\"" ? Field::kArguments
                                                                   : Field::kOther;
  const bool again =
      (field_ == Field::kName && has_name_) || (field_ == Field::kArguments && has_arguments_);
  state_ = State::kColon;
  return again ? Step::kError : Step::kMore;
}

CallObject::Step CallObject::begin_value(char byte) {
  state_ = State::kInValue;
  scanner_ = JsonScanner();
  read_.clear();
  telling_ = field_ == Field::kArguments && byte == '{' && has_name_;
  told_ = told_ || telling_;
  if (field_ == Field::kName && byte != '"') return Step::kError;
  return in_value(byte);
}

CallObject::Step CallObject::in_value(char byte) {
  const JsonScanner::Step step = scanner_.push(byte);
  if (step == JsonScanner::Step::kError) return Step::kError;
  if (step == JsonScanner::Step::kAfter) {
    state_ = State::kNext;
    return end_value() ? push(byte) : Step::kError;
  }
  if (field_ != Field::kOther && !telling_) read_ += byte;
  if (field_ == Field::kName && read_.size() > kMaxNameBytes) return Step::kError;
  if (step == JsonScanner::Step::kDone) {
    state_ = State::kNext;
    if (!end_value()) return Step::kError;
  }
  return telling_ ? Step::kArguments : Step::kMore;
}

bool CallObject::end_value() {
  if (field_ == Field::kOther) return true;
  if (field_ == Field::kArguments) {
    has_arguments_ = true;
    return telling_ || take_untold_arguments();
  }
  std::optional<std::string> name = unquoted(read_);
  if (!name || name->empty()) return false;
  name_ = *std::move(name);
  has_name_ = true;
  return true;
}

bool CallObject::take_untold_arguments() {
  if (read_ == "null") return true;
  if (read_.front() == '{') {
    untold_ = std::exchange(read_, {});
    return true;
  }
  std::optional<std::string> inner = unquoted(read_);
  if (!inner) return false;
  const Result<Json> arguments = parse_json(*inner);
  if (!arguments.ok() || !arguments->is_object()) return false;
  untold_ = *std::move(inner);
  return true;
}

CallObject::Step CallObject::finish() {
  if (!has_name_) return Step::kError;
  if (!told_ && !untold_) untold_ = "{}";
  return Step::kDone;
}

}  // namespace forerun
