#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "engine/engine.h"
#include "online/learner.h"

namespace forerun {

// A request of a stream.
struct StreamRequest {
  int segment = 0;
  Request request;
};

struct LearningRunOptions {
  int concurrency = 8;
  int64_t window = 200;  // requests
};

// What came between two counts of finished requests.
struct LearningWindow {
  int64_t requests = 0;  // finished until its end
  int segment = 0;
  int64_t tokens = 0;
  int64_t rounds = 0;  // of decoding, each of one sequence; tokens over rounds is what drafts bring
  double seconds = 0.0;
  // As steps and drafts were timed before anything else ran: the same on a busy machine.
  double timed_seconds = 0.0;
  int64_t head_version = 0;
  int64_t trained_tokens = 0;
  double replayed_length = 0.0;  // LearningStatus::acceptance_length
};
Json to_json(const LearningWindow& window, const std::vector<std::string>& segments);

// What one request came to, the first token apart, which comes with the prompt: tokens are the same
// whoever drafts, so that rounds can be compared request by request.
struct LearningAnswer {
  int64_t tokens = 0;
  int64_t rounds = 0;
};

// Answers requests in their order, so many at a time, while `learner` (null: nobody) learns from
// them. Notes are made of every answer (by its place among the requests), every window, and every
// event with the number of requests finished by then. An Error is the engine's.
struct LearningNotes {
  std::function<void(size_t request, const LearningAnswer&)> answer;
  std::function<void(const LearningWindow&)> window;
  std::function<void(int64_t requests, const Json& event)> event;
};
Status run_learning(Engine& engine, Learner* learner, std::vector<StreamRequest> requests,
                    const LearningRunOptions& options, const LearningNotes& notes);

}  // namespace forerun
