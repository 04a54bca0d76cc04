#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "engine/choice_text.h"
#include "engine/request.h"
#include "loaded_model.h"

namespace forerun {

// What comes back for one request, collected for people and for programs. Borrows the tokenizer.
class Answer final {
 public:
  Answer(const Tokenizer& tokenizer, Request request);

  void begin();
  // The text that can be shown now; valid until the next call.
  std::string_view add(const TokenEvent& event);
  std::string_view finish(const FinishEvent& event);
  void end();

  // Why a choice could not be completed, or nothing.
  const std::string& error() const { return error_; }

  // Every choice's text under a heading of its own.
  std::string all_choices() const;
  Json json(const LoadedModel& loaded, const std::string& fingerprint) const;
  // "load 0.11 s | prompt 30 tokens in 0.03 s | 130 tokens, 82.9 tokens/s | …"
  std::string timing_line(const LoadedModel& loaded) const;
  // The same of an answer among others: "prompt 230 tokens, 192 cached, in 0.01 s | …"
  std::string turn_line() const;
  // Of the first choice.
  std::string_view text() const { return choices_.front().text.shown(); }
  FinishReason reason() const { return choices_.front().reason; }

 private:
  struct Choice {
    ChoiceText text;
    std::vector<int32_t> token_ids = {};
    Json logprobs = Json::array();
    FinishReason reason = FinishReason::kCancelled;
    std::optional<int32_t> stop_id = {};
    int stop_string = -1;
  };

  Json choice_json(size_t index) const;
  Json logprob_json(int32_t token_id, float logprob) const;
  std::string why_it_ended() const;
  int64_t num_tokens() const;
  double prompt_seconds() const { return first_token_ - begin_; }
  // Of all tokens but the first, over all choices.
  double tokens_per_second() const;

  const Tokenizer& tokenizer_;
  const Request request_;
  std::vector<Choice> choices_;
  int64_t prompt_tokens_ = 0;
  int64_t cached_tokens_ = 0;
  uint64_t seed_ = 0;
  std::string error_;
  double begin_ = 0.0;
  double first_token_ = 0.0;
  double end_ = 0.0;
};

}  // namespace forerun
