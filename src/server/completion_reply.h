#pragma once

#include <string>
#include <vector>

#include "server/generation.h"
#include "server/generation_fields.h"
#include "server/logprobs_json.h"

namespace forerun {

// What a completion's answer tells beside the text.
struct CompletionForm {
  AnswerOptions answer;
  bool logprobs = false;
  bool echo = false;
  std::vector<std::string> prompt_texts = {};         // with `echo`
  std::vector<std::vector<int32_t>> prompt_ids = {};  // with `echo` or `answer.return_token_ids`
};

// The answers of /v1/completions.
class CompletionReply final : public Reply {
 public:
  CompletionReply(const Tokenizer* tokenizer, CompletionForm form);

  std::string whole(const std::vector<GeneratedChoice>& choices, const Usage& usage) override;
  void piece(const GeneratedChoice& choice, std::string& events) override;
  void end(const Usage& usage, std::string& events) override;

 private:
  struct Told {
    CompletionLogprobs logprobs;
    bool begun = false;
  };
  Told& told(const GeneratedChoice& choice);
  std::string text_of(const GeneratedChoice& choice, bool first) const;
  std::string logprobs_of(const GeneratedChoice& choice, const GeneratedChoice& first_choice);
  // {"index": …, "text": …, …}
  std::string choice_json(const GeneratedChoice& choice, const GeneratedChoice& first_choice);

  const Tokenizer* tokenizer_;
  const CompletionForm form_;
  const std::string head_;
  std::vector<Told> told_;  // by choice
};

}  // namespace forerun
