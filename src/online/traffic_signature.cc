#include "online/traffic_signature.h"

#include <algorithm>
#include <cmath>

#include "tensor/float16.h"

namespace forerun {
namespace {

constexpr int64_t kConversations = 64;  // that count

}  // namespace

void TrafficSignature::add(const TraceRecord& record) {
  const TraceHeader& header = record.header;
  const int64_t slot = header.prompt_tokens - 1 - header.first_state;
  if (slot < 0 || slot >= header.num_states) return;
  const std::span<const uint16_t> state = record.finals.subspan(
      static_cast<size_t>(slot * header.d_model), static_cast<size_t>(header.d_model));
  count_ = std::min(count_ + 1, kConversations);
  values_.resize(state.size(), 0.0f);
  for (size_t i = 0; i < state.size(); ++i) {
    values_[i] += (bf16_to_f32(state[i]) - values_[i]) / static_cast<float>(count_);
  }
}

double likeness(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() != b.size()) return -1.0;
  double product = 0.0;
  double of_a = 0.0;
  double of_b = 0.0;
  for (size_t i = 0; i < a.size(); ++i) {
    product += double{a[i]} * b[i];
    of_a += double{a[i]} * a[i];
    of_b += double{b[i]} * b[i];
  }
  return of_a * of_b > 0.0 ? product / std::sqrt(of_a * of_b) : -1.0;
}

}  // namespace forerun
