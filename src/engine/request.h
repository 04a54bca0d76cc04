#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sampling/logprobs.h"
#include "sampling/params.h"
#include "spec/speculation.h"
#include "text/grammar.h"

namespace forerun {

using RequestId = uint64_t;

// What Engine::add() holds a request to.
constexpr int kMaxChoices = 128;
constexpr size_t kMaxStopIds = 1024;
constexpr size_t kMaxStopStrings = 64;
constexpr size_t kMaxStopBytes = 1024;  // of one string

enum class FinishReason : uint8_t {
  kStop,    // a stop id, the model's end of sequence, a stop string, or the grammar's end
  kLength,  // max_tokens, or the context or the key/value memory is full
  kCancelled,
  kError,  // the model gave NaN or infinite logits, or nothing may be sampled
};
std::string_view finish_reason_name(FinishReason reason);

// A request's first choice got a place for the first time.
struct StartEvent {
  RequestId request = 0;
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;  // of the prompt, found in the prefix cache
};

// One token of one choice, as it is sampled.
struct TokenEvent {
  RequestId request = 0;
  int choice = 0;
  int32_t token_id = 0;
  // Its log-probability when SamplingParams::logprobs asks for one, and the most probable tokens.
  std::optional<float> logprob;
  std::span<const TokenLogprob> top;
};

// One token of the prompt, as the model predicted it from those before.
struct PromptTokenEvent {
  RequestId request = 0;
  int64_t position = 0;
  int32_t token_id = 0;
  float logprob = 0.0f;               // raw, as LogprobMode::kRaw says
  std::span<const TokenLogprob> top;  // the most probable tokens there
};

// The end of one choice. A choice that ends at a stop id has emitted it as its last token.
struct FinishEvent {
  RequestId request = 0;
  int choice = 0;
  FinishReason reason = FinishReason::kStop;
  std::optional<int32_t> stop_id;  // the id that ended it
  int stop_string = -1;            // index of the stop string that ended it, or −1
  // Bytes of the choice's text that stand before the stop string; what follows is not output.
  std::optional<int64_t> text_bytes;
  std::string_view error;  // for kError
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;  // of the prompt, found in the prefix cache
  int64_t completion_tokens = 0;
  uint64_t seed = 0;  // the one given, or the one drawn
  DraftCounts drafts;
};

// Which of the prompt's tokens to tell log-probs of.
struct PromptLogprobs {
  int64_t first = 1;  // position of the first; nothing predicts position 0
  int top = 0;        // most probable tokens at each, up to kMaxTopLogprobs
};

// What to generate. Sampling defaults are the model's own distribution.
struct Request {
  std::vector<int32_t> prompt;
  SamplingParams sampling;
  int64_t max_tokens = 0;                 // per choice; 0: as many as the context holds
  int n = 1;                              // choices
  std::vector<int32_t> stop_ids;          // beside the model's end-of-sequence ids
  std::vector<std::string> stop_strings;  // need the engine to have a vocabulary's bytes
  bool ignore_eos = false;                // the model's own end-of-sequence ids do not stop it
  // What every choice's output must follow, compiled for the model's tokenizer; null: nothing. End-
  // of-sequence ids may be sampled exactly where it lets the output end, and then they end it, also
  // with ignore_eos. Where nothing else may follow and the model has none, the choice ends as kStop
  // with its last token.
  std::shared_ptr<const Grammar> grammar;
  uint64_t salt = 0;  // whose prefix cache entries it may use and leave behind; 0 is shared
  bool use_prefix_cache = true;
  // Whose outputs drafts for it may come from, and who gets drafts from its own; 0 is shared, none:
  // nobody.
  std::optional<uint64_t> history_salt = 0;
  // What it is part of, when it may be learnt from (docs/learning.md): the same for all turns of a
  // conversation; none: nothing is recorded of it.
  std::optional<uint64_t> conversation;
  // What the output is expected to be like, as tokens: where it is, it comes sooner.
  std::vector<int32_t> prediction;
  // For measurements: what the output begins with, whatever the model says.
  std::vector<int32_t> replay;
  // Told by choice 0. Such a prompt is computed whole, whatever the prefix cache holds.
  std::optional<PromptLogprobs> prompt_logprobs;
  // Ends, as kLength, when the prompt is computed: nothing is sampled, and the prompt may fill the
  // context. Takes n = 1.
  bool prompt_only = false;

  // Called by Engine::step() on its thread, in order: the start, then for each choice tokens, the
  // prompt's first, then one finish. One that ends while it waits never starts.
  // They may add and cancel requests, not call step() or throw; spans and views last for the call.
  std::function<void(const StartEvent&)> on_start;
  std::function<void(const PromptTokenEvent&)> on_prompt_token;
  std::function<void(const TokenEvent&)> on_token;
  std::function<void(const FinishEvent&)> on_finish;
};

}  // namespace forerun
