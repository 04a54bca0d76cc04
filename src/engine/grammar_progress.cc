#include "engine/grammar_progress.h"

#include <algorithm>
#include <utility>

namespace forerun {

bool GrammarProgress::Point::allows(int32_t token) const {
  return (mask[token / 32] >> (token % 32) & 1) != 0;
}

GrammarProgress::GrammarProgress(std::shared_ptr<const Grammar> grammar, int64_t vocab_size,
                                 std::span<const int32_t> eos_ids)
    : grammar_(std::move(grammar)), eos_ids_(eos_ids.begin(), eos_ids.end()), points_(1) {
  std::erase_if(eos_ids_, [&](int32_t id) { return id < 0 || id >= vocab_size; });
  Point& first = points_[0];
  first.mask.resize(mask_words(vocab_size));
  first.next = grammar_->first_next();
  const std::span<const uint32_t> mask = grammar_->first_mask();
  std::copy_n(mask.begin(), std::min(mask.size(), first.mask.size()), first.mask.begin());
  allow_ends(first);
}

void GrammarProgress::advance(std::span<const int32_t> tokens) {
  num_followed_ = 0;
  if (const Status status = go_on(tokens); !status.ok()) error_ = status.error();
}

Status GrammarProgress::go_on(std::span<const int32_t> tokens) {
  if (const Status status = make_matcher(); !status.ok()) return status;
  for (const int32_t token : tokens) {
    if (const Status status = matcher_->accept(token); !status.ok()) return status;
    output_.push_back(token);
  }
  return make_point(0);
}

// A matcher at the output's end.
Status GrammarProgress::make_matcher() {
  if (matcher_) return {};
  Result<GrammarMatcher> matcher = grammar_->matcher();
  if (!matcher.ok()) return matcher.error();
  for (const int32_t token : output_) {
    if (const Status status = matcher->accept(token); !status.ok()) return status;
  }
  matcher_.emplace(std::move(*matcher));
  return {};
}

Status GrammarProgress::make_point(size_t index) {
  Point& point = points_[index];
  if (const Status status = matcher_->mask(point.mask); !status.ok()) return status;
  point.next = matcher_->next();
  allow_ends(point);
  return {};
}

void GrammarProgress::follow(std::span<const int32_t> draft) {
  num_followed_ = 0;
  if (error_ || !make_matcher().ok()) return;
  while (points_.size() <= draft.size()) points_.push_back(points_[0]);
  for (const int32_t token : draft) {
    if (!points_[num_followed_].allows(token) || !matcher_->accept(token).ok()) break;
    if (!make_point(num_followed_ + 1).ok()) {
      // Too much work behind a token that may never come: the matcher is of no more use.
      matcher_.reset();
      return;
    }
    ++num_followed_;
  }
  if (!matcher_->rollback(num_followed_).ok()) matcher_.reset();
}

// The engine may know of other ends than the tokenizer.
void GrammarProgress::allow_ends(Point& point) const {
  for (const int32_t id : eos_ids_) {
    const uint32_t bit = uint32_t{1} << (id % 32);
    uint32_t& word = point.mask[id / 32];
    word = point.next.end ? word | bit : word & ~bit;
  }
}

}  // namespace forerun
