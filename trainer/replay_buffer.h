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

// Records to train on: the fresh ones, which wait for their first time, and of all others a sample
// in which each is about as likely as any. The same seed and records give the same sample.
class ReplayBuffer final {
 public:
  // At most `most_fresh` fresh ones and `most_bytes` of others.
  ReplayBuffer(int64_t most_fresh, int64_t most_bytes, uint64_t seed);

  int64_t num_fresh() const { return std::ssize(fresh_); }
  int64_t num_kept() const { return std::ssize(kept_); }
  int64_t size() const { return num_fresh() + num_kept(); }

  // A fresh one; where there are too many, the oldest becomes one of the others.
  void add(BufferedRecord record);
  // The oldest fresh ones, out of the buffer: keep() puts them back when they were trained on.
  std::vector<BufferedRecord> take_fresh(int64_t count);
  // Lets a record into the sample, or drops it.
  void keep(BufferedRecord record);
  // Different ones of the sample, which stay there: the same for the same `number`.
  std::vector<BufferedRecord> draw(int64_t count, uint64_t number) const;
  // Takes one out of the sample.
  void forget(int64_t ordinal);

 private:
  struct Kept {
    uint64_t key;
    BufferedRecord record;
  };
  static bool has_greater_key(const Kept& a, const Kept& b) { return a.key > b.key; }
  Kept pop_least();

  int64_t most_fresh_;
  int64_t most_bytes_;
  uint64_t seed_;
  std::mt19937_64 random_;
  std::deque<BufferedRecord> fresh_;
  // The sample is the records whose random keys are the greatest that there is room for: a heap,
  // the least key at its front. No key below one that has left comes in any more, or short records
  // would stay where long ones did not.
  std::vector<Kept> kept_;
  uint64_t least_key_ = 0;
  int64_t kept_bytes_ = 0;
};

}  // namespace forerun
