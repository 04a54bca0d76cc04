#pragma once

#include <string>
#include <vector>

#include "server/generation.h"
#include "server/generation_fields.h"

namespace forerun {

struct GenerateForm {
  std::vector<std::string> ids;  // rid of each prompt
  bool is_list = false;          // the answer is a list
  bool return_logprob = false;
  bool return_text_in_logprobs = false;
  int64_t logprob_start = -1;  // the first prompt token with log-probs; -1: none
  int top_logprobs = 0;
  std::string weight_version;
  std::vector<std::vector<int32_t>> prompts = {};
};

// The answers of SGLang's /generate: events tell all there is so far.
class GenerateReply final : public Reply {
 public:
  GenerateReply(const Tokenizer* tokenizer, GenerateForm form);

  std::string whole(const std::vector<GeneratedChoice>& choices, const Usage& usage) override;
  void piece(const GeneratedChoice& choice, std::string& events) override;
  void end(const Usage& /*usage*/, std::string& /*events*/) override {}

 private:
  OrderedJson choice_json(const GeneratedChoice& choice, const GeneratedChoice& first) const;
  OrderedJson logprob(const LoggedToken& token) const;
  OrderedJson tops(std::span<const LoggedToken> tokens, bool prompt) const;
  void add_logprobs(const GeneratedChoice& choice, const GeneratedChoice& first,
                    OrderedJson& info) const;

  const Tokenizer* tokenizer_;
  const GenerateForm form_;
  std::vector<GeneratedChoice> so_far_;  // of a stream, by choice
};

}  // namespace forerun
