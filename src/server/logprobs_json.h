#pragma once

#include <span>

#include "server/generation.h"
#include "text/chat_template.h"

namespace forerun {

// {"content": [{"token", "logprob", "bytes", "top_logprobs": […]}], "refusal": null}
OrderedJson chat_logprobs(const Tokenizer* tokenizer, std::span<const LoggedToken> tokens);

// The legacy form: {"tokens", "token_logprobs", "top_logprobs", "text_offset"}, lists of the same
// length. Offsets count characters and go on from call to call.
class CompletionLogprobs final {
 public:
  // `as_ids`: tokens are told as "token_id:5".
  CompletionLogprobs(const Tokenizer* tokenizer, bool as_ids)
      : tokenizer_(tokenizer), as_ids_(as_ids) {}

  void add(std::span<const LoggedToken> tokens);
  // What was added since it was last taken.
  OrderedJson take();

 private:
  std::string name(int32_t id) const;

  const Tokenizer* tokenizer_;
  const bool as_ids_;
  int64_t offset_ = 0;
  OrderedJson tokens_ = OrderedJson::array();
  OrderedJson logprobs_ = OrderedJson::array();
  OrderedJson top_ = OrderedJson::array();
  OrderedJson offsets_ = OrderedJson::array();
};

}  // namespace forerun
