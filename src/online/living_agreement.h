#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "online/trace_record.h"

namespace forerun {

// Whether a head drafts while it serves as replay says that it does: place by place the same, or a
// file, its repacking or the head's keys and values are broken.
class LivingAgreement final {
 public:
  static constexpr int64_t kLeastPlaces = 2000;
  static constexpr double kMostDifferent = 0.02;

  // What is left to compare of a record: places that the head `version` drafted for from the first
  // token on, and that replay has drafted for, too.
  void add(const TraceRecord& record, int64_t version, std::span<const FirstDraft> replayed);

  struct Verdict {
    bool agrees = true;
    double living = 0.0;  // share of first drafts that were right
    double replayed = 0.0;
  };
  // Once there are places enough; then it begins anew.
  std::optional<Verdict> verdict();

 private:
  int64_t places_ = 0;
  int64_t different_ = 0;
  int64_t living_right_ = 0;
  int64_t replayed_right_ = 0;
};

}  // namespace forerun
