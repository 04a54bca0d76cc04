#include "replay_buffer.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace forerun {
ReplayBuffer::ReplayBuffer(int64_t most_fresh, int64_t most_bytes, uint64_t seed)
    : most_fresh_(most_fresh), most_bytes_(most_bytes), seed_(seed), random_(seed) {}

void ReplayBuffer::add(BufferedRecord record) {
  fresh_.push_back(std::move(record));
  if (num_fresh() <= most_fresh_) return;
  keep(std::move(fresh_.front()));
  fresh_.pop_front();
}

std::vector<BufferedRecord> ReplayBuffer::take_fresh(int64_t count) {
  const auto end = fresh_.begin() + std::min(count, num_fresh());
  std::vector<BufferedRecord> taken(std::move_iterator(fresh_.begin()), std::move_iterator(end));
  fresh_.erase(fresh_.begin(), end);
  return taken;
}

void ReplayBuffer::keep(BufferedRecord record) {
  const uint64_t key = random_();
  if (key < least_key_) return;
  kept_bytes_ += record.example.bytes();
  kept_.push_back({key, std::move(record)});
  std::ranges::push_heap(kept_, has_greater_key);
  while (kept_bytes_ > most_bytes_) least_key_ = pop_least().key;
}

ReplayBuffer::Kept ReplayBuffer::pop_least() {
  std::ranges::pop_heap(kept_, has_greater_key);
  Kept least = std::move(kept_.back());
  kept_.pop_back();
  kept_bytes_ -= least.record.example.bytes();
  return least;
}

std::vector<BufferedRecord> ReplayBuffer::draw(int64_t count, uint64_t number) const {
  std::seed_seq seeds = {seed_, seed_ >> 32, number, number >> 32};
  std::mt19937_64 random(seeds);
  std::vector<Kept> drawn;  // examples are shared, not copied
  std::ranges::sample(kept_, std::back_inserter(drawn), count, random);
  std::vector<BufferedRecord> records;
  for (Kept& kept : drawn) records.push_back(std::move(kept.record));
  return records;
}

void ReplayBuffer::forget(int64_t ordinal) {
  const auto found =
      std::ranges::find(kept_, ordinal, [](const Kept& kept) { return kept.record.ordinal; });
  if (found == kept_.end()) return;
  kept_bytes_ -= found->record.example.bytes();
  kept_.erase(found);
  std::ranges::make_heap(kept_, has_greater_key);
}

}  // namespace forerun
