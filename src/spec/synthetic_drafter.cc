#include "spec/synthetic_drafter.h"

#include <algorithm>

#include "base/philox.h"

namespace forerun {
namespace {

// Tokens that a draft of `max_draft` brings when each is right with probability `acceptance`.
double length_of(double acceptance, int max_draft) {
  double length = 1.0;
  double survival = 1.0;
  for (int i = 0; i < max_draft; ++i) length += survival *= acceptance;
  return length;
}

double acceptance_for(double length, int max_draft) {
  double low = 0.0;
  double high = 1.0;
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2.0;
    (length_of(middle, max_draft) < length ? low : high) = middle;
  }
  return low;
}

}  // namespace

SyntheticDrafter::SyntheticDrafter(double acceptance_length, int max_draft)
    : acceptance_(acceptance_for(acceptance_length, max_draft)) {}

void SyntheticDrafter::begin(int place, const DraftRequest& request) {
  if (static_cast<size_t>(place) >= places_.size()) places_.resize(place + 1);
  Place& here = places_[place];
  here = {};
  here.output.assign(request.prediction.begin(), request.prediction.end());
  here.stream = static_cast<uint32_t>(request.id);
}

void SyntheticDrafter::observe(int place, std::span<const int32_t> tokens) {
  places_[place].came += tokens.size();
  ++places_[place].step;
}

void SyntheticDrafter::propose(int place, std::span<const int32_t> /*context*/, int num_drafted,
                               int max_tokens, Draft& draft) {
  const Place& here = places_[place];
  const size_t begin = here.came + static_cast<size_t>(num_drafted);
  const size_t end = std::min(here.output.size(), begin + static_cast<size_t>(max_tokens));
  for (size_t i = begin; i < end; ++i) {
    const uint32_t bits = philox({static_cast<uint32_t>(i), here.step, 0, 0}, {here.stream, 7})[0];
    const bool is_right = static_cast<double>(bits) < acceptance_ * 4294967296.0;
    draft.push(is_right ? here.output[i] : here.output[i] ^ 1, {DraftSource::kPrediction});
  }
}

}  // namespace forerun
