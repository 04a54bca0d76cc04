#include "base/clock.h"
#include "engine/state.h"
#include "tensor/float16.h"

namespace forerun {
namespace {

uint16_t* place_of(KvPool& pool, std::span<const int32_t> pages, int array, int64_t slot) {
  return reinterpret_cast<uint16_t*>(pool.side(pages, array, slot));
}

void keep(const float* states, int64_t row, int64_t d_model, uint16_t* out) {
  for (int64_t i = 0; i < d_model; ++i) out[i] = f32_to_bf16(states[row * d_model + i]);
}

void keep_row(EngineState& state, int64_t row, std::span<const int32_t> pages, int64_t slot) {
  KvPool& pool = state.cache.pool();
  const int64_t d_model = state.model.descriptor().d_model;
  uint16_t* out = place_of(pool, pages, kStatesArray, slot);
  for (const float* states : state.tap.entering) {
    keep(states, row, d_model, out);
    out += d_model;
  }
  if (state.tap.final_normed == nullptr) return;
  keep(state.tap.final_normed, row, d_model, place_of(pool, pages, kFinalsArray, slot));
}

}  // namespace

void keep_states(EngineState& state) {
  if (!state.options.keep_states) return;
  const double begin = now_seconds();
  const auto num_rows = static_cast<int64_t>(state.step_tokens.size());
  state.team.run([&](int member) {
    const Range mine = share_of(num_rows, member, state.team.size());
    int64_t row = 0;
    for (const RowGroup& group : state.step_groups) {
      for (int i = 0; i < group.num_rows; ++i, ++row) {
        if (row < mine.begin || row >= mine.end) continue;
        keep_row(state, row, group.pages, group.first_slot + i);
      }
    }
  });
  state.stats.keep_seconds += now_seconds() - begin;
}

const uint16_t* kept_states(EngineState& state, const Sequence& sequence, int64_t position) {
  return place_of(state.cache.pool(), sequence.kv.pages, kStatesArray, position);
}

}  // namespace forerun
