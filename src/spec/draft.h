#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace forerun {

// Where drafted tokens come from.
enum class DraftSource : uint8_t {
  kHistory,     // texts of before
  kPrediction,  // what the request itself expects
  kDraftModel,  // a smaller model
  kEagle3,      // a head of the model itself
};
constexpr int kNumDraftSources = 4;
constexpr std::string_view draft_source_name(DraftSource source) {
  constexpr std::string_view kNames[] = {"history", "prediction", "draft_model", "eagle3"};
  return kNames[static_cast<size_t>(source)];
}

constexpr int kMaxDraft = 64;  // tokens

// What speaks for a drafted token: what its acceptance is learnt by.
struct Evidence {
  DraftSource source = DraftSource::kHistory;
  uint16_t match = 0;  // tokens before the draft that its source has, too
  float share = 1.0f;  // of the source's vote, 0 … 1; a model's probability of it
};

// Tokens that may come next in a sequence, one after the other.
struct Draft {
  std::vector<int32_t> tokens;
  std::vector<Evidence> evidence;  // of each

  void reserve(size_t count) {
    tokens.reserve(count);
    evidence.reserve(count);
  }
  void clear() {
    tokens.clear();
    evidence.clear();
  }
  void push(int32_t token, const Evidence& of_token) {
    tokens.push_back(token);
    evidence.push_back(of_token);
  }
  int size() const { return static_cast<int>(tokens.size()); }
};

}  // namespace forerun
