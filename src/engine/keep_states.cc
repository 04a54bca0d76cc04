#include "engine/state.h"
#include "tensor/float16.h"

namespace forerun {
namespace {

uint16_t* place_of(KvPool& pool, std::span<const int32_t> pages, int64_t slot) {
  return reinterpret_cast<uint16_t*>(pool.side(pages, kStatesArray, slot));
}

void keep_row(const StateTap& tap, int64_t row, int64_t d_model, uint16_t* out) {
  for (const float* states : tap.entering) {
    for (int64_t i = 0; i < d_model; ++i) *out++ = f32_to_bf16(states[row * d_model + i]);
  }
}

}  // namespace

void keep_states(EngineState& state) {
  if (!state.options.keep_states) return;
  const auto num_rows = static_cast<int64_t>(state.step_tokens.size());
  state.team.run([&](int member) {
    const Range mine = share_of(num_rows, member, state.team.size());
    int64_t row = 0;
    for (const RowGroup& group : state.step_groups) {
      for (int i = 0; i < group.num_rows; ++i, ++row) {
        if (row < mine.begin || row >= mine.end) continue;
        uint16_t* place = place_of(state.cache.pool(), group.pages, group.first_slot + i);
        keep_row(state.tap, row, state.model.descriptor().d_model, place);
      }
    }
  });
}

const uint16_t* kept_states(EngineState& state, const Sequence& sequence, int64_t position) {
  return place_of(state.cache.pool(), sequence.kv.pages, position);
}

}  // namespace forerun
