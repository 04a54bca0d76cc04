#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace forerun {

// Reads one JSON value byte by byte and says where it ends, so that text around it and text that is
// still coming can be told apart. Checks the syntax of RFC 8259 but for UTF-8.
class JsonScanner final {
 public:
  static constexpr size_t kMaxDepth = 64;

  enum class Step : uint8_t {
    kMore,   // the byte was taken; the value goes on
    kDone,   // the byte was taken and is the value's last
    kAfter,  // a number ended before this byte, which is not taken
    kError,  // no JSON, or deeper than kMaxDepth
  };
  // White space before the value is taken. Nothing may be pushed after the value.
  Step push(char byte);

 private:
  enum class State : uint8_t {
    kValue,
    kValueOrClose,  // after '['
    kKey,           // after ',' in an object
    kKeyOrClose,    // after '{'
    kColon,
    kNext,  // after a value inside a container
    kString,
    kEscape,
    kHex,
    kLiteral,
    kMinus,
    kZero,
    kInteger,
    kPoint,
    kFraction,
    kExponent,
    kExponentSign,
    kExponentDigits,
  };

  Step begin_value(char byte);
  Step open(bool object);
  Step close(bool object);
  Step begin_string(bool key);
  Step in_string(char byte);
  Step in_number(char byte);
  Step end_value();

  State state_ = State::kValue;
  std::vector<bool> objects_;  // the open containers: true an object, false an array
  bool in_key_ = false;
  int hex_left_ = 0;
  std::string_view literal_left_;
};

// Space, tab, newline, carriage return: JSON's white space.
constexpr bool is_json_space(char byte) {
  return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
}

}  // namespace forerun
