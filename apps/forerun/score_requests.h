#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "prompt_scores.h"
#include "text/tokenizer.h"

namespace forerun {

// A continuation of a context, ready to be scored.
struct Continuation {
  TextToScore text;        // context, then continuation
  int64_t num_bytes = 0;   // of the continuation without blanks before it
  bool truncated = false;  // the context lost its beginning
};

// One line of a file of requests: a continuation, or a question with choices.
struct ScoreQuestion {
  bool has_choices = false;
  std::vector<Continuation> continuations;  // one without choices
  std::optional<size_t> answer;
};

// Reads the requests of evaluation harnesses, JSON lines:
//
//   {"context": C, "continuation": T}
//   {"context": C, "choices": [T, …], "answer": INDEX}      `answer` may be missing
//
// C and T are texts, or lists of token ids, which are taken as they are. Texts are cut into tokens
// as lm-evaluation-harness does it: blanks at the end of the context move to the continuation; the
// two are tokenised together, special tokens read as such, after the tokenizer's BOS if it has one
// by default; as many tokens as the context alone has are the context, the rest the continuation.
// An empty context is the BOS token, or else the token that ends a text. Where both are longer than
// `context_length` tokens the context's beginning goes.
class ScoreRequestReader final {
 public:
  ScoreRequestReader(const Tokenizer* tokenizer, int64_t vocab_size, int64_t context_length);

  // An Error names the line and the field.
  Result<std::vector<ScoreQuestion>> read(std::string_view lines) const;

 private:
  Result<ScoreQuestion> read_line(std::string_view line) const;
  Result<Continuation> make(const Json& context, const Json& continuation) const;
  Result<Continuation> make_of_texts(std::string context, std::string continuation) const;
  Result<Continuation> make_of_ids(std::vector<int32_t> context,
                                   std::vector<int32_t> continuation) const;
  Result<std::vector<int32_t>> read_ids(const Json& ids, std::string_view field) const;
  // Puts the parts together, within the context's length.
  Result<Continuation> join(std::vector<int32_t> context, std::vector<int32_t> continuation) const;

  const Tokenizer* tokenizer_;  // null: token ids only
  const int64_t vocab_size_;
  const int64_t context_length_;
  std::vector<int32_t> beginning_;  // what the tokenizer puts before a text
};

}  // namespace forerun
