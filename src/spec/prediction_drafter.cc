#include "spec/prediction_drafter.h"

#include <algorithm>
#include <limits>

namespace forerun {
namespace {

constexpr int kMaxAgreed = std::numeric_limits<uint16_t>::max();
// A single token stands in a text for many reasons.
constexpr int kLeastAgreed = 2;

// Tokens before `end` of the text that are also the context's last.
int count_agreed(std::span<const int32_t> text, size_t end, std::span<const int32_t> context) {
  const auto most = static_cast<int>(std::min(end, context.size()));
  int agreed = 0;
  while (agreed < most && text[end - 1 - agreed] == context[context.size() - 1 - agreed]) ++agreed;
  return agreed;
}

}  // namespace

void PredictionDrafter::begin(int place, const DraftRequest& request) {
  if (static_cast<size_t>(place) >= places_.size()) places_.resize(place + 1);
  places_[place] = {};
  places_[place].text.assign(request.prediction.begin(), request.prediction.end());
}

void PredictionDrafter::observe(int place, std::span<const int32_t> tokens) {
  Place& here = places_[place];
  for (const int32_t token : tokens) {
    if (!here.aligned) return;
    here.aligned = here.next < here.text.size() && here.text[here.next] == token;
    if (!here.aligned) return;
    ++here.next;
    here.agreed = std::min(here.agreed + 1, kMaxAgreed);
  }
}

PredictionDrafter::Found PredictionDrafter::find(const Place& here,
                                                 std::span<const int32_t> context) {
  Found best = {0, 0};
  const auto distance = [&](size_t end) {
    // What lies behind comes before what has been.
    return end >= here.next ? end - here.next : here.text.size() + here.next - end;
  };
  for (size_t end = 1; end < here.text.size(); ++end) {
    if (here.text[end - 1] != context.back()) continue;
    const int agreed = count_agreed(here.text, end, context);
    if (agreed < best.agreed) continue;
    if (agreed > best.agreed || distance(end) < distance(best.next)) best = {end, agreed};
  }
  if (best.agreed < kLeastAgreed) best.agreed = 0;
  return best;
}

void PredictionDrafter::propose(int place, std::span<const int32_t> context, int num_drafted,
                                int max_tokens, Draft& draft) {
  Place& here = places_[place];
  if (here.text.empty() || context.empty()) return;
  Found from = {here.next, here.agreed};
  const bool aligned = here.aligned && num_drafted == 0;
  if (!aligned) {
    from = find(here, context);
    if (from.agreed == 0) return;
    if (num_drafted == 0) {
      here.next = from.next;
      here.agreed = from.agreed;
      here.aligned = true;
    }
  }
  const size_t end = std::min(here.text.size(), from.next + static_cast<size_t>(max_tokens));
  for (size_t i = from.next; i < end; ++i) {
    draft.push(here.text[i],
               {DraftSource::kPrediction, static_cast<uint16_t>(from.agreed), /*share=*/1.0f});
  }
}

void PredictionDrafter::end(int place) {
  places_[place].text = {};
}

}  // namespace forerun
