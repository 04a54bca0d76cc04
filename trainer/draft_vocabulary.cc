#include "draft_vocabulary.h"

#include <algorithm>
#include <numeric>
#include <tuple>
#include <utility>

namespace forerun {

DraftVocabulary::DraftVocabulary(std::vector<int32_t> token_of, int64_t vocab_size)
    : token_of_(std::move(token_of)), draft_of_(static_cast<size_t>(vocab_size), -1) {
  for (size_t i = 0; i < token_of_.size(); ++i) {
    draft_of_[static_cast<size_t>(token_of_[i])] = static_cast<int32_t>(i);
  }
}

at::Tensor DraftVocabulary::rows_of(const at::Tensor& matrix) const {
  return matrix.index_select(0, at::tensor(token_of_, at::kInt));
}

void TokenCounts::add(const TraceRecord& record) {
  const auto num_prompt_tokens = static_cast<size_t>(record.header.prompt_tokens);
  for (const int32_t token : record.tokens.first(num_prompt_tokens)) {
    counts_[static_cast<size_t>(token)].in_prompts += 1.0;
  }
  for (const int32_t token : record.tokens.subspan(num_prompt_tokens)) {
    counts_[static_cast<size_t>(token)].in_responses += 1.0;
  }
}

void TokenCounts::halve() {
  for (Count& count : counts_) {
    count.in_responses /= 2.0;
    count.in_prompts /= 2.0;
  }
}

DraftVocabulary TokenCounts::most_frequent(int64_t size, const DraftVocabulary* current) const {
  std::vector<int32_t> tokens(counts_.size());
  std::iota(tokens.begin(), tokens.end(), 0);
  std::ranges::stable_sort(tokens, std::ranges::greater(), [&](int32_t token) {
    const bool is_current = current != nullptr && current->draft_id(token) >= 0;
    const Count& count = counts_[static_cast<size_t>(token)];
    return std::tuple(count.in_responses + (is_current ? 1.0 : 0.0), is_current, count.in_prompts);
  });
  tokens.resize(std::min(tokens.size(), static_cast<size_t>(size)));
  std::ranges::sort(tokens);
  return {std::move(tokens), std::ssize(counts_)};
}

}  // namespace forerun
