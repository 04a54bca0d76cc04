// What our tokenizer makes of texts, for tests/compat/compare_tokenizers.py to compare with others:
//
//   tokenize_lines FILE < LINES
//
// FILE is a GGUF or a tokenizer.json. A line holding a JSON string is a text, one holding a list of
// numbers is ids. For each a line comes back:
//
//   {"ids", "ids_as_text", "decoded", "decoded_all", "seconds"}
//
// `ids` with the tokens that the model adds and special tokens parsed, `ids_as_text` without
// either, `decoded` of `ids` without special tokens and `decoded_all` with them, `seconds` of the
// first encoding. An "error" instead where there is one. A stream that differs from decoding at
// once ends the program.

#include <cstdlib>
#include <iostream>
#include <string>

#include "base/clock.h"
#include "base/json.h"
#include "text/detokenizer.h"
#include "text/gguf_tokenizer.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

namespace forerun {
namespace {

using Ids = std::vector<int32_t>;

Result<Tokenizer> load(const std::string& path) {
  if (!path.ends_with(".gguf")) return Tokenizer::from_file(path);
  const Result<Gguf> gguf = Gguf::open(path, GgufTypes::kAny);
  if (!gguf.ok()) return gguf.error();
  return read_gguf_tokenizer(*gguf);
}

bool is_utf8(std::string_view text) {
  std::string valid;
  append_valid_utf8(text, valid);
  return valid == text;
}

// Decodes at once and id by id.
std::string decoded(const Tokenizer& tokenizer, const Ids& ids, bool skip_special) {
  const DecodeOptions options = {.skip_special = skip_special};
  const std::string whole = tokenizer.decode(ids, options);
  Detokenizer detokenizer(tokenizer.vocabulary(), options);
  std::string streamed;
  bool whole_characters = true;
  for (const int32_t id : ids) {
    const std::string_view part = detokenizer.push(id);
    whole_characters = whole_characters && is_utf8(part);
    streamed += part;
  }
  streamed += detokenizer.finish();
  if (streamed != whole || !whole_characters) {
    std::cerr << "tokenize_lines: a stream differs from decoding at once: " << Json(ids) << "\n";
    std::exit(1);
  }
  return whole;
}

Json answer(const Tokenizer& tokenizer, const Json& line) {
  Json result = Json::object();
  Ids ids;
  if (line.is_string()) {
    const auto text = line.get<std::string>();
    const double start = now_seconds();
    const auto with = tokenizer.encode(text, /*add_special=*/true, /*parse_special=*/true);
    result["seconds"] = now_seconds() - start;
    const auto without = tokenizer.encode(text, /*add_special=*/false, /*parse_special=*/false);
    if (!with.ok()) return {{"error", with.error().message}};
    if (!without.ok()) return {{"error", without.error().message}};
    result["ids"] = ids = *with;
    result["ids_as_text"] = *without;
  } else {
    ids = line.get<Ids>();
  }
  result["decoded"] = decoded(tokenizer, ids, /*skip_special=*/true);
  result["decoded_all"] = decoded(tokenizer, ids, /*skip_special=*/false);
  return result;
}

int run(const std::string& path) {
  const Result<Tokenizer> tokenizer = load(path);
  if (!tokenizer.ok()) {
    std::cerr << "tokenize_lines: " << tokenizer.error().message << "\n";
    return 1;
  }
  std::string text;
  while (std::getline(std::cin, text)) {
    const Result<Json> line = parse_json(text);
    if (!line.ok()) {
      std::cerr << "tokenize_lines: " << line.error().message << "\n";
      return 1;
    }
    std::cout << answer(*tokenizer, *line).dump() << "\n";
  }
  return 0;
}

}  // namespace
}  // namespace forerun

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: tokenize_lines FILE < LINES\n";
    return 2;
  }
  return forerun::run(argv[1]);
}
