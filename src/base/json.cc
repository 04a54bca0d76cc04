#include "base/json.h"

#include <utility>
#include <vector>

#include "base/mapped_file.h"

namespace forerun {

namespace {

constexpr size_t kComparedBytes = 64;  // that count as one comparison

// Counts what the parser tells of; false stops it.
class LimitsChecker final : public nlohmann::json_sax<Json> {
 public:
  explicit LimitsChecker(const JsonLimits& limits) : limits_(limits) {}

  bool null() override { return add_value(); }
  bool boolean(bool) override { return add_value(); }
  bool number_integer(number_integer_t) override { return add_value(); }
  bool number_unsigned(number_unsigned_t) override { return add_value(); }
  bool number_float(number_float_t, const string_t&) override { return add_value(); }
  bool string(string_t&) override { return add_value(); }
  bool binary(binary_t&) override { return add_value(); }
  bool start_object(size_t) override { return open(); }
  bool start_array(size_t) override { return open(); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    comparisons_ += names_.back()++ * (1 + name.size() / kComparedBytes);
    if (comparisons_ <= limits_.max_comparisons) return true;
    return fail("an object has too many names: " + std::to_string(names_.back()));
  }
  bool parse_error(size_t, const std::string&, const Json::exception&) override { return false; }

  const Status& status() const { return status_; }

 private:
  bool open() {
    if (names_.size() >= static_cast<size_t>(limits_.max_depth)) {
      return fail("JSON is nested deeper than the limit of " + std::to_string(limits_.max_depth) +
                  " levels");
    }
    names_.push_back(0);
    return add_value();
  }
  bool close() {
    names_.pop_back();
    return true;
  }
  bool add_value() {
    if (++values_ <= limits_.max_values) return true;
    return fail("JSON holds more than the limit of " + std::to_string(limits_.max_values) +
                " values");
  }
  bool fail(std::string sentence) {
    status_ = Error{std::move(sentence)};
    return false;
  }

  const JsonLimits& limits_;
  Status status_;
  std::vector<size_t> names_;  // of each open object; 0 of a list
  size_t comparisons_ = 0;
  size_t values_ = 0;
};

}  // namespace

Status check_json_limits(std::string_view text, const JsonLimits& limits) {
  LimitsChecker checker(limits);
  try {
    Json::sax_parse(text, &checker);
  } catch (const std::exception& error) {
    return Error{error.what()};
  }
  return checker.status();
}

// Two passes: the library's parser with a callback looks through a whole list whenever an object in
// it ends.
Result<Json> parse_json(std::string_view text, int max_depth) {
  if (Status status = check_json_limits(text, {.max_depth = max_depth}); !status.ok()) {
    return status.error();
  }
  try {
    return Json::parse(text);
  } catch (const Json::parse_error& error) {
    return Error{"invalid JSON at byte " + std::to_string(error.byte) + ": " + error.what()};
  } catch (const std::exception& error) {
    return Error{error.what()};
  }
}

Result<Json> read_json_file(const std::string& path, int max_depth) {
  Result<MappedFile> file = MappedFile::open(path);
  if (!file.ok()) return file.error();
  const auto bytes = file->bytes();
  Result<Json> json =
      parse_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, max_depth);
  if (!json.ok()) return Error{path + ": " + json.error().message};
  return json;
}

}  // namespace forerun
