#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "server/generation.h"

namespace forerun {

// The JSON of answers, put together as text: a stream makes a few pieces of it for every token.

// Appends `text`, which is UTF-8, in quotes and with escapes.
void append_json_string(std::string_view text, std::string& json);
std::string json_string(std::string_view text);

// What every answer and event of one request begins with.
struct AnswerHead {
  std::string id;
  std::string object;  // "chat.completion"
  int64_t created = 0;
  std::string model;
  std::string fingerprint;

  // `"id":…,"object":…,"created":…,"model":…,"system_fingerprint":…,`
  std::string json() const;
};

// {"prompt_tokens":…,…}
std::string usage_json(const Usage& usage);

// What came since the last event, or all of it.
std::vector<int32_t> ids_of(const GeneratedChoice& choice);

// Why a choice ended, in OpenAI's words, in quotes.
std::string finish_reason_json(const GenerationFinish& finish);

// A token for people: its text, with U+FFFD for what is no UTF-8.
std::string token_text(const Tokenizer* tokenizer, int32_t id);

// A log-prob as a JSON number: -9999 where it is -infinity, as vLLM has it.
float finite_logprob(float logprob);

// "chatcmpl-" and 32 hexadecimal digits.
std::string new_answer_id(std::string_view prefix);

// A random number, for ids.
uint64_t random_bits();

}  // namespace forerun
