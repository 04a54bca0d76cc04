#pragma once

#include <string>

#include "base/result.h"
#include "live_training.h"

namespace forerun {

struct LearnOptions {
  LiveOptions live;
  std::string target;    // folder: target.json and target.safetensors
  int ring = -1;         // descriptor for TraceRing::attach
  bool is_idle = false;  // runs only when nothing else wants the processors
};

// Trains on what comes through the ring, whose one reader it is, until standard input ends or says
// so, or SIGTERM or SIGINT comes; the state is saved then. Commands come and events go as JSON
// objects, one a line, through standard input and output. Killed at any instant and called again,
// it goes on from the last state saved. An Error is told as an event, too.
Status learn(const LearnOptions& options);

}  // namespace forerun
