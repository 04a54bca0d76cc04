#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "text/json_scanner.h"

namespace forerun {

// Reads {"name": …, "arguments": {…}} byte by byte; "parameters" is another word for "arguments",
// and other fields are passed over. Arguments that come after the name can be given out as they are
// read; those before it, and those written as a string of JSON, are there at the end.
class CallObject final {
 public:
  enum class Step : uint8_t {
    kMore,       // the byte was taken
    kArguments,  // the byte belongs to the arguments, and the name is known
    kDone,       // the byte was the object's last
    kError,      // no such object; the byte is not taken
  };
  // White space before the object is taken. Nothing may be pushed after the end or an error.
  Step push(char byte);

  // Empty until it is known.
  const std::string& name() const { return name_; }
  // After kDone: the arguments that no kArguments told; "{}" where the object has none.
  const std::optional<std::string>& untold_arguments() const { return untold_; }
  // The arguments are there, whole.
  bool has_arguments() const { return has_arguments_; }

 private:
  enum class State : uint8_t { kOpen, kKeyOrClose, kKey, kInKey, kColon, kValue, kInValue, kNext };
  enum class Field : uint8_t { kName, kArguments, kOther };

  Step begin_string(char byte);
  Step in_key(char byte);
  Step begin_value(char byte);
  Step in_value(char byte);
  bool end_value();
  bool take_untold_arguments();
  Step finish();

  State state_ = State::kOpen;
  Field field_ = Field::kOther;
  JsonScanner scanner_;
  std::string read_;      // of the key, or of a value that is kept
  bool telling_ = false;  // the value that is read
  bool told_ = false;     // the arguments
  bool has_name_ = false;
  bool has_arguments_ = false;
  std::string name_;
  std::optional<std::string> untold_;
};

}  // namespace forerun
