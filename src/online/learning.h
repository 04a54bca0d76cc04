#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "online/head_store.h"

namespace forerun {

// Who waits for whom.
enum class Starved : uint8_t {
  kNobody,
  kLearning,  // requests take what the trainer would need: records are dropped or its steps stand
              // still
  kTraffic,   // nothing new came to learn from
};
std::string_view starved_name(Starved starved);  // "nobody", "learning", "traffic"

// The loop that learns, at a glance. Counts are since its start unless they say otherwise.
struct LearningStatus {
  bool enabled = true;
  Starved starved = Starved::kTraffic;

  bool trainer_up = false;
  int64_t trainer_starts = 0;  // the first included
  int64_t trainer_step = 0;    // updates, those of earlier runs included
  double trainer_step_seconds = 0.0;
  double trainer_loss = 0.0;
  double trainer_acceptance_length = 0.0;  // expected on batches before they are trained on
  int64_t trained_tokens = 0;              // likewise

  struct Records {
    int64_t kept = 0;       // recorded by the engine
    int64_t dropped = 0;    // for want of room
    int64_t opted_out = 0;  // by their requests
    int64_t left_out = 0;   // by the rate
    int64_t held_out = 0;   // of those kept: never trained on
  } records;
  double capture_rate = 1.0;
  double capture_share = 0.0;  // of the time of the engine's steps: keeping states and copying them

  int64_t head_version = 0;  // that drafts; 0: none
  int64_t vocabulary = 0;    // its generation
  // Replayed on records of late, of the head that drafts: tokens a round at the gate's draft
  // length, and how much faster than without a head that makes it; 1 without one.
  double acceptance_length = 1.0;
  double estimated_speedup = 1.0;

  // Of the machine, and what the next hour would bring where that is decided by (LearningShare):
  // in shares of the tokens that are served.
  struct Share {
    int threads = 0;       // processors that learning has of its own; 0: what serving leaves over
    double learned = 0.0;  // own processors' gain, by what is learned sooner
    double lost = 0.0;     // by slower steps; at most 0
  } share;

  struct Verdicts {
    int64_t passed = 0;
    int64_t failed = 0;   // not faster for sure
    int64_t refused = 0;  // not a head of this target, or not whole
  } verdicts;
  struct Swaps {
    int64_t made = 0;
    int64_t kept = 0;         // for good, by the watch
    int64_t rolled_back = 0;  // by the watch, or because live and replayed acceptance disagreed
    int64_t recalled = 0;     // an older head, since traffic had moved
  } swaps;
  double swap_seconds = 0.0;  // the engine stood still in the last one
  int64_t alarms = 0;         // of drift
};

// What a server and its people may ask of the loop, from any thread.
class Learning {
 public:
  virtual ~Learning() = default;

  virtual LearningStatus status() const = 0;
  virtual const HeadStore& store() const = 0;

  // Stops or resumes training, gate and swaps; the head that drafts goes on drafting.
  virtual void set_enabled(bool enabled) = 0;
  // Lets a stored head draft: asked for here, made before long, told as an event. An Error says why
  // there is no such head.
  virtual Status activate(int64_t version) = 0;
  // The same with the head that the current one was trained from; without one, none drafts.
  virtual Status roll_back() = 0;

  // Called with every event (docs/learning.md lists them) from now on, on the loop's thread; one
  // listener.
  virtual void listen(std::function<void(const Json&)> listener) = 0;
};

}  // namespace forerun
