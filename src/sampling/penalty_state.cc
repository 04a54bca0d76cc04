#include "sampling/penalty_state.h"

#include <algorithm>
#include <bit>

#include "base/check.h"

namespace forerun {
namespace {

constexpr int32_t kEmpty = -1;

float penalized(float logit, const SamplingParams& params, int output_count) {
  if (params.repetition_penalty != 1.0f) {
    logit = logit > 0.0f ? logit / params.repetition_penalty : logit * params.repetition_penalty;
  }
  if (output_count == 0) return logit;
  logit -= params.frequency_penalty * static_cast<float>(output_count);
  return logit - params.presence_penalty;
}

}  // namespace

PenaltyState::PenaltyState(int vocab_size, int max_tokens)
    : vocab_size_(vocab_size), max_tokens_(max_tokens) {
  const auto capacity = static_cast<uint32_t>(std::max(1, std::min(vocab_size, max_tokens)));
  // At most half full, so that probing stays short.
  const uint32_t num_slots = std::bit_ceil(2 * capacity);
  slot_shift_ = 32 - std::countr_zero(num_slots);
  slots_.assign(num_slots, kEmpty);
  entries_.reserve(capacity);
  output_.reserve(static_cast<size_t>(max_tokens));
}

PenaltyState::PenaltyState(const PenaltyState& other)
    : PenaltyState(other.vocab_size_, other.max_tokens_) {
  *this = other;
}

void PenaltyState::reset(std::span<const int32_t> prompt) {
  CHECK(static_cast<int>(prompt.size()) <= max_tokens_, "prompt is longer than max_tokens");
  std::fill(slots_.begin(), slots_.end(), kEmpty);
  entries_.clear();
  output_.clear();
  num_prompt_tokens_ = static_cast<int>(prompt.size());
  for (int32_t token_id : prompt) find_or_add(token_id).in_prompt = true;
}

void PenaltyState::push(int32_t token_id) {
  CHECK(num_prompt_tokens_ + num_output_tokens() < max_tokens_, "sequence exceeds max_tokens");
  ++find_or_add(token_id).output_count;
  output_.push_back(token_id);
}

void PenaltyState::pop(int count) {
  CHECK(count >= 0 && count <= num_output_tokens(), "pop of more tokens than were pushed");
  for (; count > 0; --count) {
    int32_t& slot = slot_of(output_.back());
    output_.pop_back();
    Entry& entry = entries_[slot];
    if (--entry.output_count > 0 || entry.in_prompt) continue;
    // The entry was added by the push taken back, and every later push has been taken back already:
    // it is the last entry, and no probe sequence that is still in use runs across its slot.
    entries_.pop_back();
    slot = kEmpty;
  }
}

void PenaltyState::apply(const SamplingParams& params, float* logits) const {
  for (const Entry& entry : entries_) {
    float& logit = logits[entry.token_id];
    logit = penalized(logit, params, entry.output_count);
  }
}

// The slot that holds the token's entry, or the empty one where it would go.
int32_t& PenaltyState::slot_of(int32_t token_id) {
  constexpr uint32_t kGoldenRatio = 0x9E3779B9;  // Fibonacci hashing: the high bits are well mixed
  uint32_t slot = (static_cast<uint32_t>(token_id) * kGoldenRatio) >> slot_shift_;
  while (slots_[slot] != kEmpty && entries_[slots_[slot]].token_id != token_id) {
    slot = (slot + 1) & (slots_.size() - 1);
  }
  return slots_[slot];
}

PenaltyState::Entry& PenaltyState::find_or_add(int32_t token_id) {
  CHECK(token_id >= 0 && token_id < vocab_size_, "token id outside the vocabulary");
  int32_t& slot = slot_of(token_id);
  if (slot == kEmpty) {
    slot = static_cast<int32_t>(entries_.size());
    entries_.push_back({token_id, /*output_count=*/0, /*in_prompt=*/false});
  }
  return entries_[slot];
}

}  // namespace forerun
