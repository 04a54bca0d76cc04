#include "prompt_scores.h"

#include <memory>
#include <string>
#include <utility>

namespace forerun {
namespace {

// Enough that the engine always finds some waiting.
constexpr int64_t kMostInEngine = 128;

Request scoring_request(TextToScore text, bool tell_greedy,
                        const std::shared_ptr<TextScore>& score) {
  Request request;
  request.prompt = std::move(text.tokens);
  request.prompt_logprobs = {.first = text.first, .top = tell_greedy ? 1 : 0};
  request.prompt_only = true;
  request.use_prefix_cache = false;
  score->greedy = tell_greedy;
  request.on_prompt_token = [score](const PromptTokenEvent& event) {
    score->logprob += static_cast<double>(event.logprob);
    score->greedy = score->greedy && event.top[0].token_id == event.token_id;
    ++score->num_tokens;
  };
  return request;
}

}  // namespace

Status score_texts(Engine& engine, int64_t count, bool tell_greedy,
                   const std::function<TextToScore(int64_t)>& text,
                   const std::function<void(int64_t, const TextScore&)>& done) {
  Status status;
  int64_t num_added = 0;
  int64_t num_done = 0;
  while (num_done < count && status.ok()) {
    for (; num_added < count && num_added - num_done < kMostInEngine; ++num_added) {
      const auto score = std::make_shared<TextScore>();
      Request request = scoring_request(text(num_added), tell_greedy, score);
      request.on_finish = [&, score, index = num_added](const FinishEvent& event) {
        ++num_done;
        if (event.reason == FinishReason::kError) {
          status = Error{std::string(event.error)};
        } else {
          done(index, *score);
        }
      };
      const Result<RequestId> id = engine.add(std::move(request));
      if (!id.ok()) return id.error();
    }
    engine.step();
  }
  return status;
}

}  // namespace forerun
