#pragma once

#include <cstdint>
#include <string>

#include "base/json.h"
#include "base/result.h"

namespace forerun {

// A JSON object's members as numbers and strings; `status` remembers the first that is not what it
// must be, several readers' when they share it. null is the same as absent. `path` stands in
// errors.
class JsonMembers {
 public:
  JsonMembers(const Json& object, std::string path, Status& status)
      : object_(object), path_(std::move(path)), status_(status) {}

  const Json* find(const char* name) const;
  bool has(const char* name) const { return find(name) != nullptr; }

  // Whole numbers, not negative.
  int64_t size(const char* name);
  int64_t size_or(const char* name, int64_t otherwise);
  // From 1 to `most`.
  int64_t count(const char* name, int64_t most);
  int64_t count_or(const char* name, int64_t otherwise, int64_t most);
  double real(const char* name);
  double real_or(const char* name, double otherwise);
  bool truth_or(const char* name, bool otherwise);
  std::string text_or(const char* name, std::string otherwise);
  // A list of at most `most` elements; each is given to `take`.
  template <typename Take>
  void list(const char* name, size_t most, Take take) {
    const Json* value = require(name);
    if (value == nullptr) return;
    if (!value->is_array() || value->size() > most) {
      return wrong(name, *value, "a list of at most " + std::to_string(most) + " elements");
    }
    for (const Json& element : *value) take(element);
  }

  void wrong(const char* name, const Json& value, const std::string& wanted);
  void fail(const std::string& message);
  const std::string& path() const { return path_; }

 private:
  const Json* require(const char* name);
  int64_t to_size(const char* name, const Json& value);
  int64_t to_count(const char* name, const Json& value, int64_t most);
  double to_real(const char* name, const Json& value);

  const Json& object_;
  std::string path_;
  Status& status_;
};

}  // namespace forerun
