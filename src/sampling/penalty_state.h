#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sampling/params.h"

namespace forerun {

// Which tokens a sequence holds: those of its prompt, and how often each stands in its output.
//
// The output is a stack, so that drafted tokens can be pushed while they are verified and popped
// again. Everything is reserved at construction: nothing allocates afterwards, nor does assignment
// from a state of the same capacity (the `n` choices of a request start as copies).
class PenaltyState final {
 public:
  // `max_tokens` bounds prompt and output together, drafted tokens included.
  PenaltyState(int vocab_size, int max_tokens);
  PenaltyState(const PenaltyState& other);  // with the other's capacity, unlike a vector's copy
  PenaltyState(PenaltyState&&) = default;
  PenaltyState& operator=(const PenaltyState&) = default;
  PenaltyState& operator=(PenaltyState&&) = default;
  ~PenaltyState() = default;

  // Forgets everything and takes a new prompt.
  void reset(std::span<const int32_t> prompt);

  void push(int32_t token_id);
  void pop() { pop(1); }
  // Takes the last `count` pushed tokens back.
  void pop(int count);

  int num_output_tokens() const { return static_cast<int>(output_.size()); }
  int num_distinct_tokens() const { return static_cast<int>(entries_.size()); }

  // logits [vocab_size], in place, each distinct token once: repetition, then frequency, then
  // presence.
  void apply(const SamplingParams& params, float* logits) const;

 private:
  struct Entry {
    int32_t token_id;
    int32_t output_count;
    bool in_prompt;
  };

  int32_t& slot_of(int32_t token_id);
  Entry& find_or_add(int32_t token_id);

  int vocab_size_;
  int max_tokens_;
  int slot_shift_;
  int num_prompt_tokens_ = 0;
  std::vector<int32_t> slots_;   // open addressing by linear probing: entry index or kEmpty
  std::vector<Entry> entries_;   // in order of first appearance
  std::vector<int32_t> output_;  // what pop() takes back
};

}  // namespace forerun
