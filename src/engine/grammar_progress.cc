#include "engine/grammar_progress.h"

#include <algorithm>
#include <utility>

namespace forerun {

GrammarProgress::GrammarProgress(std::shared_ptr<const Grammar> grammar, int64_t vocab_size,
                                 std::span<const int32_t> eos_ids)
    : grammar_(std::move(grammar)),
      eos_ids_(eos_ids.begin(), eos_ids.end()),
      mask_(mask_words(vocab_size)),
      next_(grammar_->first_next()) {
  std::erase_if(eos_ids_, [&](int32_t id) { return id < 0 || id >= vocab_size; });
  const std::span<const uint32_t> first = grammar_->first_mask();
  std::copy_n(first.begin(), std::min(first.size(), mask_.size()), mask_.begin());
  allow_ends();
}

void GrammarProgress::advance(int32_t token) {
  const Status status = make_mask(token);
  if (!status.ok()) error_ = status.error();
}

Status GrammarProgress::make_mask(int32_t token) {
  if (!matcher_) {
    Result<GrammarMatcher> matcher = grammar_->matcher();
    if (!matcher.ok()) return matcher.error();
    matcher_.emplace(std::move(*matcher));
  }
  if (const Status status = matcher_->accept(token); !status.ok()) return status;
  if (const Status status = matcher_->mask(mask_); !status.ok()) return status;
  next_ = matcher_->next();
  allow_ends();
  return {};
}

// The engine may know of other ends than the tokenizer.
void GrammarProgress::allow_ends() {
  for (const int32_t id : eos_ids_) {
    const uint32_t bit = uint32_t{1} << (id % 32);
    mask_[id / 32] = next_.end ? mask_[id / 32] | bit : mask_[id / 32] & ~bit;
  }
}

}  // namespace forerun
