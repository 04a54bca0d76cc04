#pragma once

#include <cstdint>
#include <deque>
#include <random>
#include <vector>

#include "batch.h"

namespace forerun {

struct BufferedRecord {
  int64_t ordinal = 0;  // among all that came
  Example example;
};

// Records to train on: the fresh ones, which wait for their first time; the newest of the others,
// which are like the traffic of now; and of all before those a sample in which each is about as
// likely as any, against forgetting. The same seed and records give the same sample.
class ReplayBuffer final {
 public:
  // Records that are recent, where they take no more than half of the bytes.
  static constexpr int64_t kMostRecent = 128;

  // At most `most_fresh` fresh ones and `most_bytes` of others; of those drawn, `recent_share` are
  // recent ones.
  ReplayBuffer(int64_t most_fresh, int64_t most_bytes, uint64_t seed, double recent_share = 0.5);

  int64_t num_fresh() const { return std::ssize(fresh_); }
  int64_t num_kept() const { return std::ssize(recent_) + std::ssize(sample_); }
  int64_t size() const { return num_fresh() + num_kept(); }

  // A fresh one; where there are too many, the oldest becomes one of the others.
  void add(BufferedRecord record);
  // The oldest fresh ones, out of the buffer: keep() puts them back when they were trained on.
  std::vector<BufferedRecord> take_fresh(int64_t count);
  // The newest of those that are kept; an older one may be dropped for it.
  void keep(BufferedRecord record);
  // Different ones of those kept, which stay there: recent ones to their share (in the mean, where
  // it is no whole number), as far as there are as many of either; the same for the same `number`.
  std::vector<BufferedRecord> draw(int64_t count, uint64_t number) const;
  // Keeps one no longer.
  void forget(int64_t ordinal);

 private:
  struct Sampled {
    uint64_t key;
    BufferedRecord record;
  };
  static bool has_greater_key(const Sampled& a, const Sampled& b) { return a.key > b.key; }
  void let_into_sample(BufferedRecord record);
  Sampled pop_least();

  int64_t most_fresh_;
  int64_t most_bytes_;
  uint64_t seed_;
  double recent_share_;
  std::mt19937_64 random_;
  std::deque<BufferedRecord> fresh_;
  std::deque<BufferedRecord> recent_;
  int64_t recent_bytes_ = 0;
  // The sample is the records whose random keys are the greatest that there is room for: a heap,
  // the least key at its front. No key below one that has left comes in any more, or short records
  // would stay where long ones did not.
  std::vector<Sampled> sample_;
  uint64_t least_key_ = 0;
  int64_t sample_bytes_ = 0;
};

}  // namespace forerun
