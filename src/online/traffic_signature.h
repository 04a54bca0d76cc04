#pragma once

#include <cstdint>
#include <vector>

#include "online/trace_record.h"

namespace forerun {

// What traffic is like: the mean of the states that its prompts end with, of late.
class TrafficSignature final {
 public:
  void add(const TraceRecord& record);
  // [d_model]; empty before there was any.
  const std::vector<float>& values() const { return values_; }

 private:
  std::vector<float> values_;
  int64_t count_ = 0;
};

// Cosine of the angle between two signatures; −1 where they cannot be compared.
double likeness(const std::vector<float>& a, const std::vector<float>& b);

}  // namespace forerun
