#include "base/json.h"

#include "base/mapped_file.h"

namespace forerun {

Result<Json> parse_json(std::string_view text, int max_depth) {
  const auto limit_depth = [&](int depth, Json::parse_event_t event, Json&) {
    const bool opens =
        event == Json::parse_event_t::object_start || event == Json::parse_event_t::array_start;
    if (opens && depth >= max_depth) {
      throw std::length_error("JSON is nested deeper than the limit of " +
                              std::to_string(max_depth) + " levels");
    }
    return true;
  };
  try {
    return Json::parse(text, limit_depth);
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
