#include "online/living_agreement.h"

#include <utility>

namespace forerun {

void LivingAgreement::add(const TraceRecord& record, int64_t version,
                          std::span<const FirstDraft> replayed) {
  // Where the oldest states are missing, replay begins later than the living did.
  const bool is_comparable = record.header.head == static_cast<uint64_t>(version) &&
                             record.header.first_state == 0 && record.header.is_constrained == 0;
  if (!is_comparable) return;
  for (size_t i = 0; i < record.first_drafts.size(); ++i) {
    const FirstDraft living = record.first_drafts[i];
    if (living == FirstDraft::kNone || replayed[i] == FirstDraft::kNone) continue;
    ++places_;
    different_ += living != replayed[i] ? 1 : 0;
    living_right_ += living == FirstDraft::kRight ? 1 : 0;
    replayed_right_ += replayed[i] == FirstDraft::kRight ? 1 : 0;
  }
}

std::optional<LivingAgreement::Verdict> LivingAgreement::verdict() {
  if (places_ < kLeastPlaces) return std::nullopt;
  const auto places = static_cast<double>(places_);
  const Verdict verdict = {.agrees = static_cast<double>(different_) <= kMostDifferent * places,
                           .living = static_cast<double>(living_right_) / places,
                           .replayed = static_cast<double>(replayed_right_) / places};
  *this = {};
  return verdict;
}

}  // namespace forerun
