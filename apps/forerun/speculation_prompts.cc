#include "speculation_prompts.h"

#include <optional>

#include "base/json.h"
#include "text_input.h"

namespace forerun {
namespace {

constexpr size_t kMostBytes = 256'000'000;

std::optional<std::string> string_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_string()) return std::nullopt;
  return found->get<std::string>();
}

std::vector<std::string> strings_of(const Json& object, const char* key) {
  std::vector<std::string> strings;
  const auto found = object.find(key);
  if (found == object.end() || !found->is_array()) return strings;
  for (const Json& one : *found) {
    if (one.is_string()) strings.push_back(one.get<std::string>());
  }
  return strings;
}

std::string question_of(const Json& object) {
  for (const char* key : {"prompt", "question", "text"}) {
    if (auto text = string_of(object, key)) return *std::move(text);
  }
  std::vector<std::string> turns = strings_of(object, "turns");
  return turns.empty() ? "" : std::move(turns[0]);
}

}  // namespace

Result<std::vector<SpeculationPrompt>> parse_speculation_prompts(std::string_view text) {
  std::vector<SpeculationPrompt> prompts;
  for (int line = 1; !text.empty(); ++line) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view one = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (one.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const Json object = Json::parse(one, nullptr, /*allow_exceptions=*/false);
    SpeculationPrompt prompt;
    if (object.is_object()) {
      prompt.question = question_of(object);
      prompt.is_text =
          !object.contains("prompt") && !object.contains("question") && object.contains("text");
      prompt.prediction = string_of(object, "prediction").value_or("");
      prompt.answers = strings_of(object, "response");
    }
    if (prompt.question.empty()) {
      return Error{"line " + std::to_string(line) +
                   " is no JSON object with a prompt, question, text or turns"};
    }
    prompts.push_back(std::move(prompt));
  }
  if (prompts.empty()) return Error{"there are no prompts"};
  return prompts;
}

Result<std::vector<SpeculationPrompt>> read_speculation_prompts(const std::string& path) {
  const Result<std::string> text = read_text(path, kMostBytes);
  if (!text.ok()) return text.error();
  Result<std::vector<SpeculationPrompt>> prompts = parse_speculation_prompts(*text);
  if (!prompts.ok()) return Error{path + ": " + prompts.error().message};
  return prompts;
}

}  // namespace forerun
