#include "engine/state.h"

namespace forerun {

void score_prompts(EngineState& state) {
  state.prompt_scores.clear();
  if (state.step_prompt_logits == 0) return;
  for (Sequence* sequence : state.step_sequences) {
    for (int i = 0; i < sequence->num_prompt_logits; ++i) {
      SampleResult& score = state.prompt_scores.emplace_back();
      score.sequence = sequence;
      score.logit_row = sequence->prompt_logit_row + i;
      score.token_id = sequence->tokens[sequence->next_prompt_logprob + i];
    }
  }
  const auto vocab_size = static_cast<size_t>(state.model.descriptor().vocab_size);
  state.team.run([&](int member) {
    const Range mine =
        share_of(static_cast<int64_t>(state.prompt_scores.size()), member, state.team.size());
    for (int64_t i = mine.begin; i < mine.end; ++i) {
      SampleResult& score = state.prompt_scores[i];
      const std::span<const float> logits(state.decoder.logits(score.logit_row), vocab_size);
      const int num_top = score.sequence->request->request.prompt_logprobs->top;
      add_raw_logprobs(logits, num_top, *state.workspaces[member], score);
    }
  });
}

}  // namespace forerun
