#pragma once

#include <cstdint>
#include <span>

#include "engine/rejected_rows.h"
#include "engine/request.h"
#include "spec/drafter.h"

namespace forerun {

// A choice that ends, before its memory is given back; views last for the call.
struct SequenceEnd {
  const Request& request;
  uint64_t seed = 0;
  int choice = 0;
  FinishReason reason = FinishReason::kStop;
  std::span<const int32_t> tokens = {};  // prompt and output
  // Of the positions [0, num_states), as EngineOptions::keep_states and keep_finals left them.
  int64_t num_states = 0;
  KeptStates states = {};                  // bf16 [kNumTaps · d_model] each
  KeptStates finals = {};                  // bf16 [d_model] each
  const RejectedRows* rejected = nullptr;  // as EngineOptions::max_rejected_rows says
  // The head that drafts (EngineStats::head_version), and what became of its first drafts at each
  // of the first so many places.
  int64_t head = 0;
  std::span<const FirstDraft> first_drafts = {};
  double step_seconds = 0.0;  // that the engine's steps have taken so far
};

}  // namespace forerun
