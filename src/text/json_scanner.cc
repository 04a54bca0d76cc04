#include "text/json_scanner.h"

namespace forerun {
namespace {

bool is_digit(char byte) {
  return byte >= '0' && byte <= '9';
}

bool is_hex(char byte) {
  return is_digit(byte) || (byte >= 'a' && byte <= 'f') || (byte >= 'A' && byte <= 'F');
}

}  // namespace

JsonScanner::Step JsonScanner::push(char byte) {
  if (state_ == State::kString || state_ == State::kEscape || state_ == State::kHex) {
    return in_string(byte);
  }
  if (state_ == State::kLiteral) {
    if (byte != literal_left_.front()) return Step::kError;
    literal_left_.remove_prefix(1);
    return literal_left_.empty() ? end_value() : Step::kMore;
  }
  if (state_ >= State::kMinus) return in_number(byte);
  if (is_json_space(byte)) return Step::kMore;
  switch (state_) {
    case State::kValueOrClose:
      return byte == ']' ? close(false) : begin_value(byte);
    case State::kKeyOrClose:
      if (byte == '}') return close(true);
      [[fallthrough]];
    case State::kKey:
      return byte == '"' ? begin_string(/*key=*/true) : Step::kError;
    case State::kColon:
      state_ = State::kValue;
      return byte == ':' ? Step::kMore : Step::kError;
    case State::kNext:
      if (byte == '}' || byte == ']') return close(byte == '}');
      if (byte != ',') return Step::kError;
      state_ = objects_.back() ? State::kKey : State::kValue;
      return Step::kMore;
    default:
      return begin_value(byte);
  }
}

JsonScanner::Step JsonScanner::begin_value(char byte) {
  switch (byte) {
    case '{':
      return open(true);
    case '[':
      return open(false);
    case '"':
      return begin_string(/*key=*/false);
    case '-':
      state_ = State::kMinus;
      return Step::kMore;
    case 't':
      literal_left_ = "rue";
      break;
    case 'f':
      literal_left_ = "alse";
      break;
    case 'n':
      literal_left_ = "ull";
      break;
    default:
      state_ = byte == '0' ? State::kZero : State::kInteger;
      return is_digit(byte) ? Step::kMore : Step::kError;
  }
  state_ = State::kLiteral;
  return Step::kMore;
}

JsonScanner::Step JsonScanner::open(bool object) {
  if (objects_.size() == kMaxDepth) return Step::kError;
  objects_.push_back(object);
  state_ = object ? State::kKeyOrClose : State::kValueOrClose;
  return Step::kMore;
}

JsonScanner::Step JsonScanner::close(bool object) {
  if (objects_.back() != object) return Step::kError;
  objects_.pop_back();
  return end_value();
}

JsonScanner::Step JsonScanner::begin_string(bool key) {
  in_key_ = key;
  state_ = State::kString;
  return Step::kMore;
}

JsonScanner::Step JsonScanner::in_string(char byte) {
  constexpr std::string_view kEscapes = "\"\\/bfnrtu";
  if (state_ == State::kHex) {
    if (!is_hex(byte)) return Step::kError;
    if (--hex_left_ == 0) state_ = State::kString;
    return Step::kMore;
  }
  if (state_ == State::kEscape) {
    if (kEscapes.find(byte) == std::string_view::npos) return Step::kError;
    hex_left_ = 4;
    state_ = byte == 'u' ? State::kHex : State::kString;
    return Step::kMore;
  }
  if (static_cast<uint8_t>(byte) < 0x20) return Step::kError;
  if (byte == '\\') state_ = State::kEscape;
  if (byte != '"') return Step::kMore;
  if (!in_key_) return end_value();
  state_ = State::kColon;
  return Step::kMore;
}

JsonScanner::Step JsonScanner::in_number(char byte) {
  const auto go = [&](State state) {
    state_ = state;
    return Step::kMore;
  };
  const bool ends = state_ == State::kZero || state_ == State::kInteger ||
                    state_ == State::kFraction || state_ == State::kExponentDigits;
  if (is_digit(byte)) {
    switch (state_) {
      case State::kZero:
        return Step::kError;
      case State::kMinus:
        return go(byte == '0' ? State::kZero : State::kInteger);
      case State::kPoint:
        return go(State::kFraction);
      case State::kExponent:
      case State::kExponentSign:
        return go(State::kExponentDigits);
      default:
        return Step::kMore;
    }
  }
  const bool whole = state_ == State::kZero || state_ == State::kInteger;
  if (byte == '.' && whole) return go(State::kPoint);
  if ((byte == 'e' || byte == 'E') && (whole || state_ == State::kFraction)) {
    return go(State::kExponent);
  }
  if ((byte == '+' || byte == '-') && state_ == State::kExponent) return go(State::kExponentSign);
  if (!ends) return Step::kError;
  if (objects_.empty()) return Step::kAfter;
  state_ = State::kNext;
  return push(byte);
}

JsonScanner::Step JsonScanner::end_value() {
  state_ = State::kNext;
  return objects_.empty() ? Step::kDone : Step::kMore;
}

}  // namespace forerun
