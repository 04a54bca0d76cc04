#include "formats/small_json_file.h"

#include "base/mapped_file.h"

namespace forerun {

Result<std::string> read_small_file(const std::string& path, uint64_t max_bytes) {
  const Result<MappedFile> file = MappedFile::open(path);
  if (!file.ok()) return file.error();
  const auto bytes = file->bytes();
  if (bytes.size() > max_bytes) {
    return Error{path + " has " + std::to_string(bytes.size()) + " bytes; the limit is " +
                 std::to_string(max_bytes)};
  }
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

Result<Json> read_json_object(const std::string& path, uint64_t max_bytes) {
  const Result<std::string> text = read_small_file(path, max_bytes);
  if (!text.ok()) return text.error();
  Result<Json> json = parse_json(*text);
  if (!json.ok()) return Error{path + ": " + json.error().message};
  if (!json->is_object()) return Error{path + " does not hold a JSON object"};
  return json;
}

}  // namespace forerun
