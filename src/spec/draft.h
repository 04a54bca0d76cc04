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
  uint16_t match = 0;   // tokens before the draft that its source has, too
  float share = 1.0f;   // of the source's vote, 0 … 1; a model's probability of it
  bool second = false;  // its source, or another, would rather have a different token there
};

// What became of a token that was drafted right behind known ones.
enum class FirstDraft : uint8_t { kNone, kWrong, kRight };

// Tokens that may come next in a sequence, one after the other; and others that may come in the
// place of some of them.
struct Draft {
  struct Other {
    int place;  // of the token that it may come instead of
    int32_t token;
    Evidence evidence;
  };
  std::vector<int32_t> tokens;
  std::vector<Evidence> evidence;  // of each
  std::vector<Other> others;       // by place

  void reserve(size_t count) {
    tokens.reserve(count);
    evidence.reserve(count);
    others.reserve(count);
  }
  void clear() {
    tokens.clear();
    evidence.clear();
    others.clear();
  }
  // Instead of the last token.
  void push_other(int32_t token, Evidence of_token) {
    of_token.second = true;
    others.push_back({size() - 1, token, of_token});
  }
  void push(int32_t token, const Evidence& of_token) {
    tokens.push_back(token);
    evidence.push_back(of_token);
  }
  int size() const { return static_cast<int>(tokens.size()); }
};

// The same as a tree whose nodes are in the order of their likelihood, so that a part of it from
// the front on is the likeliest part of that size. Parents come before their children.
struct DraftTree {
  std::vector<int32_t> tokens;
  std::vector<int32_t> parents;  // −1: what is known already
  std::vector<Evidence> evidence;
  std::vector<float> survival;  // that the node and all before it are accepted; descending

  void reserve(size_t count) {
    tokens.reserve(count);
    parents.reserve(count);
    evidence.reserve(count);
    survival.reserve(count);
  }
  void clear() {
    tokens.clear();
    parents.clear();
    evidence.clear();
    survival.clear();
  }
  int size() const { return static_cast<int>(tokens.size()); }
  bool is_chain(int length) const {
    for (int i = 0; i < length; ++i) {
      if (parents[i] != i - 1) return false;
    }
    return true;
  }
};

}  // namespace forerun
