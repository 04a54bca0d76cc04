#pragma once

#include <cstdint>
#include <optional>
#include <span>

namespace forerun {

// Looks for a shift in the rate at which drafted tokens are accepted, conversation by conversation,
// of the head that drafts and of a reference that never learns. Memory is constant, and so is the
// time for each conversation.
//
// Each of the two rates has a self-starting CUSUM (Hawkins 1987): an observation becomes a standard
// normal score by Student's distribution around the mean and deviation of those before, so that
// neither has to be known; two sums, for a rise and a fall, add up what the scores are beyond 0.5
// and alarm at 10. Scores are cut to ±2.5, so that rates of another shape than the normal one do
// not alarm more often.
//
// On independent conversations an alarm comes by chance every 45,000 on average, or less often
// (normal, two-peaked and very skewed rates: change_point_test.cc). Behind 200 conversations or
// more a fall from 0.55 to 0.40 with a deviation of 0.12 is found after 16 on average and in 19 of
// 20 cases within 28, and its kind is the wrong one in 1 case of 20.
class ChangePoint final {
 public:
  enum class Kind : uint8_t {
    kTraffic,  // both rates moved
    kHead,     // only that of the head that drafts
  };
  struct Alarm {
    Kind kind;
    double before;              // mean rate of the head that drafts
    double after;               // since it seems to have moved
    int64_t num_conversations;  // since then
  };

  // The rates of one conversation, in [0, 1]; what is not is left out. After an alarm both rates
  // are learned anew.
  std::optional<Alarm> observe(double head, double reference);

  // Another head drafts from now on: its rate is learned anew, beginning with what it would have
  // been of late.
  void head_swapped(std::span<const double> rates = {});

 private:
  // Mean and deviation of the conversations so far (Welford 1962).
  struct Baseline {
    int64_t count = 0;
    double mean = 0.0;
    double squares = 0.0;  // of the differences from the mean, added up

    double score(double value) const;
    void add(double value);
    double mean_without(double sum, int64_t last) const;  // the last so many, which add up to sum
  };
  // One-sided sum of scores, and the rates observed since it last was zero.
  struct Cusum {
    double sum = 0.0;
    int64_t count = 0;
    double rates = 0.0;  // added up

    bool add(double rate, double score);
  };
  struct Stream {
    Baseline baseline;
    Cusum rise;
    Cusum fall;

    // The sum that is beyond the threshold with this rate.
    const Cusum* add(double rate);
    bool has_moved() const;
  };

  Stream head_;
  Stream reference_;
};

}  // namespace forerun
