#include "replay_buffer.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

namespace forerun {
namespace {

// Up or down, so that the mean is the number.
int64_t rounded_by_chance(double number, std::mt19937_64& random) {
  const double whole = std::floor(number);
  return static_cast<int64_t>(whole) +
         (std::bernoulli_distribution(number - whole)(random) ? 1 : 0);
}

}  // namespace

ReplayBuffer::ReplayBuffer(int64_t most_fresh, int64_t most_bytes, uint64_t seed,
                           double recent_share)
    : most_fresh_(most_fresh),
      most_bytes_(most_bytes),
      seed_(seed),
      recent_share_(recent_share),
      random_(seed) {}

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
  recent_bytes_ += record.example.bytes();
  recent_.push_back(std::move(record));
  while (std::ssize(recent_) > kMostRecent || recent_bytes_ > most_bytes_ / 2) {
    BufferedRecord oldest = std::move(recent_.front());
    recent_.pop_front();
    recent_bytes_ -= oldest.example.bytes();
    let_into_sample(std::move(oldest));
  }
  while (recent_bytes_ + sample_bytes_ > most_bytes_) least_key_ = pop_least().key;
}

void ReplayBuffer::let_into_sample(BufferedRecord record) {
  const uint64_t key = random_();
  if (key < least_key_) return;
  sample_bytes_ += record.example.bytes();
  sample_.push_back({key, std::move(record)});
  std::ranges::push_heap(sample_, has_greater_key);
}

ReplayBuffer::Sampled ReplayBuffer::pop_least() {
  std::ranges::pop_heap(sample_, has_greater_key);
  Sampled least = std::move(sample_.back());
  sample_.pop_back();
  sample_bytes_ -= least.record.example.bytes();
  return least;
}

std::vector<BufferedRecord> ReplayBuffer::draw(int64_t count, uint64_t number) const {
  std::seed_seq seeds = {seed_, seed_ >> 32, number, number >> 32};
  std::mt19937_64 random(seeds);
  const int64_t recent = rounded_by_chance(static_cast<double>(count) * recent_share_, random);
  const int64_t of_sample =
      std::min(count - std::min(recent, std::ssize(recent_)), std::ssize(sample_));
  std::vector<BufferedRecord> records;  // examples are shared, not copied
  std::ranges::sample(recent_, std::back_inserter(records), count - of_sample, random);
  std::vector<Sampled> sampled;
  std::ranges::sample(sample_, std::back_inserter(sampled), of_sample, random);
  for (Sampled& one : sampled) records.push_back(std::move(one.record));
  return records;
}

void ReplayBuffer::forget(int64_t ordinal) {
  const auto recent = std::ranges::find(recent_, ordinal, &BufferedRecord::ordinal);
  if (recent != recent_.end()) {
    recent_bytes_ -= recent->example.bytes();
    recent_.erase(recent);
    return;
  }
  const auto sampled =
      std::ranges::find(sample_, ordinal, [](const Sampled& one) { return one.record.ordinal; });
  if (sampled == sample_.end()) return;
  sample_bytes_ -= sampled->record.example.bytes();
  sample_.erase(sampled);
  std::ranges::make_heap(sample_, has_greater_key);
}

}  // namespace forerun
