#include "server/answer_text.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <random>

#include "text/utf8.h"

namespace forerun {
namespace {

// What a byte is written as in a JSON string; empty: as it is.
std::string escaped(char c) {
  switch (c) {
    case '"':
      return "\\\"";
    case '\\':
      return "\\\\";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    default:
      break;
  }
  std::array<char, 8> text{};
  std::snprintf(text.data(), text.size(), "\\u%04x", static_cast<unsigned char>(c));
  return text.data();
}

}  // namespace

void append_json_string(std::string_view text, std::string& json) {
  json += '"';
  size_t plain = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (static_cast<unsigned char>(c) >= 0x20 && c != '"' && c != '\\') continue;
    json.append(text, plain, i - plain);
    json += escaped(c);
    plain = i + 1;
  }
  json.append(text, plain);
  json += '"';
}

std::string json_string(std::string_view text) {
  std::string json;
  append_json_string(text, json);
  return json;
}

std::string AnswerHead::json() const {
  return "\"id\":" + json_string(id) + ",\"object\":" + json_string(object) +
         ",\"created\":" + std::to_string(created) + ",\"model\":" + json_string(model) +
         ",\"system_fingerprint\":" + json_string(fingerprint) + ",";
}

std::string usage_json(const Usage& usage) {
  return "{\"prompt_tokens\":" + std::to_string(usage.prompt_tokens) +
         ",\"completion_tokens\":" + std::to_string(usage.completion_tokens) +
         ",\"total_tokens\":" + std::to_string(usage.prompt_tokens + usage.completion_tokens) +
         ",\"prompt_tokens_details\":{\"cached_tokens\":" + std::to_string(usage.cached_tokens) +
         "},\"completion_tokens_details\":{\"accepted_prediction_tokens\":" +
         std::to_string(usage.predicted.accepted) + ",\"rejected_prediction_tokens\":" +
         std::to_string(usage.predicted.drafted - usage.predicted.accepted) + "}}";
}

std::string finish_reason_json(const GenerationFinish& finish) {
  const FinishReason reason = finish.event.reason;
  if (reason == FinishReason::kCancelled) return "\"abort\"";
  return json_string(finish_reason_name(reason));
}

std::vector<int32_t> ids_of(const GeneratedChoice& choice) {
  std::vector<int32_t> ids;
  ids.reserve(choice.tokens.size());
  for (const LoggedToken& token : choice.tokens) ids.push_back(token.id);
  return ids;
}

std::string token_text(const Tokenizer* tokenizer, int32_t id) {
  std::string text;
  if (tokenizer != nullptr) append_valid_utf8(tokenizer->token_bytes(id), text);
  return text;
}

float finite_logprob(float logprob) {
  return std::max(logprob, -9999.0f);
}

std::string new_answer_id(std::string_view prefix) {
  std::array<char, 33> hex{};
  std::snprintf(hex.data(), hex.size(), "%016llx%016llx",
                static_cast<unsigned long long>(random_bits()),
                static_cast<unsigned long long>(random_bits()));
  return std::string(prefix) + hex.data();
}

uint64_t random_bits() {
  thread_local std::mt19937_64 generator{(uint64_t{std::random_device{}()} << 32) ^
                                         std::random_device{}()};
  return generator();
}

}  // namespace forerun
