#include <string>

#include "engine/state.h"

namespace forerun {
namespace {

Status check_ids(const std::vector<int32_t>& ids, const std::string& field, int64_t vocab_size) {
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < 0 || ids[i] >= vocab_size) {
      return Error{field + " " + std::to_string(i) + " is " + std::to_string(ids[i]) +
                   "; ids go from 0 to " + std::to_string(vocab_size - 1)};
    }
  }
  return {};
}

Status check_prompt(const EngineState& state, const Request& request) {
  if (request.prompt.empty()) return Error{"prompt is empty; it needs at least one token"};
  const auto tokens = static_cast<int64_t>(request.prompt.size());
  const int64_t answer_tokens = request.prompt_only ? 0 : 1;
  if (tokens + answer_tokens > state.sequence_limit) {
    return Error{"prompt has " + std::to_string(tokens) +
                 " tokens; the model and its memory hold " + std::to_string(state.sequence_limit) +
                 (request.prompt_only ? "" : ", and one must be left for the answer")};
  }
  return check_ids(request.prompt, "prompt token", state.model.descriptor().vocab_size);
}

Status check_expected(const EngineState& state, const Request& request) {
  const size_t tokens = request.prediction.size();
  if (static_cast<int64_t>(tokens) > state.sequence_limit) {
    return Error{"prediction has " + std::to_string(tokens) +
                 " tokens; the model and its memory hold " + std::to_string(state.sequence_limit)};
  }
  const int64_t vocab_size = state.model.descriptor().vocab_size;
  if (Status status = check_ids(request.replay, "replay token", vocab_size); !status.ok()) {
    return status;
  }
  return check_ids(request.prediction, "prediction token", vocab_size);
}

Status check_prompt_logprobs(const Request& request) {
  if (!request.prompt_logprobs) return {};
  const auto tokens = static_cast<int64_t>(request.prompt.size());
  const auto [first, top] = *request.prompt_logprobs;
  if (first < 1 || first > tokens) {
    return Error{"prompt_logprobs begin at position " + std::to_string(first) +
                 "; they may from 1 to " + std::to_string(tokens) +
                 ", the number of prompt tokens"};
  }
  if (top < 0 || top > kMaxTopLogprobs) {
    return Error{"prompt_logprobs asks for the top " + std::to_string(top) +
                 " tokens; it must be from 0 to " + std::to_string(kMaxTopLogprobs)};
  }
  return {};
}

Status check_stop_strings(const EngineState& state, const Request& request) {
  if (request.stop_strings.size() > kMaxStopStrings) {
    return Error{"stop has " + std::to_string(request.stop_strings.size()) +
                 " strings; the limit is " + std::to_string(kMaxStopStrings)};
  }
  for (const std::string& stop : request.stop_strings) {
    if (stop.empty() || stop.size() > kMaxStopBytes) {
      return Error{"stop strings have 1 to " + std::to_string(kMaxStopBytes) + " bytes; one has " +
                   std::to_string(stop.size())};
    }
  }
  const auto vocab_size = static_cast<size_t>(state.model.descriptor().vocab_size);
  if (!request.stop_strings.empty() && state.options.token_bytes.size() < vocab_size) {
    return Error{"stop strings need a tokenizer; this engine was made without one"};
  }
  return {};
}

Status check_stops(const EngineState& state, const Request& request) {
  if (request.stop_ids.size() > kMaxStopIds) {
    return Error{"stop_ids has " + std::to_string(request.stop_ids.size()) + " ids; the limit is " +
                 std::to_string(kMaxStopIds)};
  }
  const int64_t vocab_size = state.model.descriptor().vocab_size;
  if (Status status = check_ids(request.stop_ids, "stop id", vocab_size); !status.ok()) {
    return status;
  }
  return check_stop_strings(state, request);
}

}  // namespace

Status check_request(const EngineState& state, const Request& request) {
  if (Status status = check_prompt(state, request); !status.ok()) return status;
  if (Status status = check_expected(state, request); !status.ok()) return status;
  if (Status status = check_prompt_logprobs(request); !status.ok()) return status;
  if (Status status = check_stops(state, request); !status.ok()) return status;
  if (request.max_tokens < 0) {
    return Error{"max_tokens is " + std::to_string(request.max_tokens) +
                 "; it must not be negative"};
  }
  if (request.n < 1 || request.n > kMaxChoices) {
    return Error{"n is " + std::to_string(request.n) + "; it must be between 1 and " +
                 std::to_string(kMaxChoices)};
  }
  if (request.prompt_only && request.n != 1) {
    return Error{"n is " + std::to_string(request.n) +
                 "; a request that ends with its prompt has one choice"};
  }
  return validate(request.sampling, static_cast<int>(state.model.descriptor().vocab_size));
}

}  // namespace forerun
