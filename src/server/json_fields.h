#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/request_error.h"
#include "text/chat_template.h"

namespace forerun {

// Parses a request's body, which must be a JSON object; keys keep their order. Errors are 400s.
Checked<OrderedJson> parse_body(std::string_view body);

// The fields of an object that a stranger wrote. What is absent or null is nothing, what has a
// wrong type or lies outside its limits is an error that names the field; the first one is kept,
// and everything read after it is nothing. Unknown fields are never looked at.
class JsonFields final {
 public:
  // Borrows the object. `path` stands before the names: "sampling_params.".
  explicit JsonFields(const OrderedJson& object, std::string path = {});

  std::optional<bool> flag(const std::string& name);
  // 3.0 is an integer; the limits are part of the range.
  std::optional<int64_t> integer(const std::string& name, int64_t least, int64_t most);
  // Any integer of 64 bits, signed or not, by its bits.
  std::optional<uint64_t> bits(const std::string& name);
  // Any finite number, cut to a float's range.
  std::optional<float> number(const std::string& name);
  std::optional<std::string> text(const std::string& name);
  // A text, or a list of texts.
  std::optional<std::vector<std::string>> texts(const std::string& name, size_t most);
  // Token ids below `vocab_size`.
  std::optional<std::vector<int32_t>> token_ids(const std::string& name, int64_t vocab_size,
                                                size_t most);
  // Null: nothing.
  const OrderedJson* object(const std::string& name);
  const OrderedJson* list(const std::string& name);
  // Of any type; null: absent or null.
  const OrderedJson* any(const std::string& name) const;

  // Records that `name` is wrong: "<name> <sentence>".
  void refuse(const std::string& name, const std::string& sentence, const std::string& code = {});
  // The same with a whole sentence of its own.
  void refuse_with(const std::string& name, const std::string& sentence,
                   const std::string& code = {});
  void refuse_with(const RequestError& error);
  // Takes over what another reader found.
  void take_error(const JsonFields& other);

  bool ok() const { return !error_; }
  const RequestError& error() const { return *error_; }

 private:
  // Null when absent, or after an error.
  const OrderedJson* find(const std::string& name) const;
  void wrong_type(const std::string& name, const OrderedJson& value, const char* wanted);

  const OrderedJson& object_;
  const std::string path_;
  std::optional<RequestError> error_;
};

// What a value is, for sentences: "a list", "null".
const char* json_kind(const OrderedJson& value);

// Reads a token id of a list; an error names the element.
std::optional<int32_t> read_token_id(const OrderedJson& value, int64_t vocab_size);

// The integer a number stands for, if it fits: 3 and 3.0 are one, 3.5 is none.
std::optional<int64_t> exact_integer(const OrderedJson& value);

}  // namespace forerun
