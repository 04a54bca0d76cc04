#include "step_bench.h"

#include <algorithm>
#include <numeric>
#include <string>

#include "base/clock.h"
#include "base/memory.h"
#include "base/philox.h"
#include "readable_bytes.h"

namespace forerun {
namespace {

// Rows of one chunk of prefill (EngineOptions::max_step_rows).
constexpr int64_t kChunkRows = 512;
// A figure is the median of at least so many steps, and of no more than fit into so many seconds.
constexpr int kFewestSteps = 5;
constexpr double kMostSeconds = 10.0;

Decoder::Limits limits_of(const StepBench::Sizes& sizes) {
  const int step_rows = sizes.sequences * sizes.rows;
  return {.max_rows = static_cast<int>(std::max<int64_t>(kChunkRows, step_rows)),
          .max_logit_rows = step_rows};
}

}  // namespace

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : 0.5 * (values[half - 1] + values[half]);
}

std::vector<int32_t> random_tokens(int64_t count, int64_t vocab_size) {
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < count; ++i) {
    const uint32_t bits = philox({static_cast<uint32_t>(i), 0, 0, 0}, {0, 0})[0];
    tokens.push_back(static_cast<int32_t>(bits % static_cast<uint64_t>(vocab_size)));
  }
  return tokens;
}

Result<std::unique_ptr<StepBench>> StepBench::create(const LoadedModel& loaded, Sizes sizes) {
  const auto memory = static_cast<double>(machine_memory_bytes());
  const double wanted =
      static_cast<double>(kv_shape(loaded.model->descriptor(), sizes.kv_type).page_bytes()) *
      static_cast<double>(pages_for(sizes.sequence_tokens) * sizes.sequences);
  if (wanted > memory / 2.0) {
    return Error{std::to_string(sizes.sequences) + " sequences of " +
                 std::to_string(sizes.sequence_tokens) + " tokens take " +
                 readable_bytes(static_cast<uint64_t>(wanted)) +
                 " of keys and values; half of this machine's memory is " +
                 readable_bytes(static_cast<uint64_t>(memory / 2.0)) +
                 " (give a smaller --batch or --depth)"};
  }
  return std::unique_ptr<StepBench>(new StepBench(loaded, sizes));
}

StepBench::StepBench(const LoadedModel& loaded, Sizes sizes)
    : model_(loaded.model->descriptor()),
      team_(*loaded.team),
      pages_per_sequence_(static_cast<int>(pages_for(sizes.sequence_tokens))),
      pool_(kv_shape(model_, sizes.kv_type), pages_per_sequence_ * sizes.sequences),
      decoder_(model_, loaded.model->weights(), *loaded.kernels, team_, limits_of(sizes)),
      tokens_(random_tokens(std::max<int64_t>(decoder_.limits().max_rows, sizes.sequence_tokens),
                            model_.vocab_size)),
      pages_(pool_.num_pages()) {
  for (int member = 0; member < team_.size(); ++member) {
    workspaces_.push_back(std::make_unique<SamplerWorkspace>(static_cast<int>(model_.vocab_size),
                                                             loaded.kernels->isa));
  }
  std::iota(pages_.begin(), pages_.end(), 0);
  fill_keys_and_values(loaded.kernels->attention(sizes.kv_type));
}

// Every page gets memory of its own and ordinary values, the same for all.
void StepBench::fill_keys_and_values(const AttentionOps& attention) {
  const int64_t bytes = page_head_bytes(attention.stored, model_.head_dim);
  std::vector<uint8_t> head(2 * bytes);
  std::vector<float> row(model_.head_dim);
  for (int slot = 0; slot < kPageTokens; ++slot) {
    for (size_t d = 0; d < row.size(); ++d) {
      row[d] = static_cast<float>((slot * row.size() + d) * 2654435761u % 4096) / 4096.0f;
    }
    attention.store_key_value(row.data(), row.data(), model_.head_dim, slot, head.data(),
                              head.data() + bytes);
  }
  team_.run([&](int member) {
    const Range mine = share_of(pool_.num_pages(), member, team_.size());
    for (int64_t page = mine.begin; page < mine.end; ++page) {
      for (int layer = 0; layer < model_.num_layers; ++layer) {
        for (int h = 0; h < model_.num_kv_heads; ++h) {
          std::copy_n(head.data(), bytes, pool_.keys(static_cast<int>(page), layer, h));
          std::copy_n(head.data() + bytes, bytes, pool_.values(static_cast<int>(page), layer, h));
        }
      }
    }
  });
}

double StepBench::kv_bytes(int64_t depth) const {
  int64_t positions = 0;
  for (const int64_t window : model_.windows) {
    positions += window == 0 ? depth : std::min(depth, window);
  }
  const int64_t layer_bytes = pool_.shape().token_bytes() / model_.num_layers;
  return static_cast<double>(positions * layer_bytes);
}

template <typename Run>
StepBench::Timing StepBench::time(int repetitions, Run run) {
  run();
  std::vector<double> seconds;
  double total = 0.0;
  const int fewest = std::min(repetitions, kFewestSteps);
  while (static_cast<int>(seconds.size()) < repetitions &&
         (total < kMostSeconds || static_cast<int>(seconds.size()) < fewest)) {
    const double begin = now_seconds();
    run();
    seconds.push_back(now_seconds() - begin);
    total += seconds.back();
  }
  const int taken = static_cast<int>(seconds.size());
  return {median(std::move(seconds)), taken};
}

StepBench::Timing StepBench::time_steps(int sequences, int rows, int64_t depth, int steps) {
  return time(steps, [&] { step(sequences, rows, depth, /*all_logits=*/true); });
}

StepBench::Timing StepBench::time_prefill(int64_t tokens, int repetitions) {
  return time(repetitions, [&] {
    for (int64_t begin = 0; begin < tokens; begin += kChunkRows) {
      const int64_t rows = std::min(kChunkRows, tokens - begin);
      step(/*sequences=*/1, static_cast<int>(rows), begin, /*all_logits=*/false);
    }
  });
}

void StepBench::step(int sequences, int rows, int64_t depth, bool all_logits) {
  groups_.clear();
  logit_rows_.clear();
  for (int s = 0; s < sequences; ++s) {
    const std::span<const int32_t> pages(pages_.data() + s * pages_per_sequence_,
                                         pages_per_sequence_);
    groups_.push_back({rows, depth, pages, nullptr});
    for (int r = all_logits ? 0 : rows - 1; r < rows; ++r) logit_rows_.push_back(s * rows + r);
  }
  const std::span<const int32_t> tokens(tokens_.data(), static_cast<size_t>(sequences) * rows);
  decoder_.step({tokens, groups_, logit_rows_, nullptr}, pool_);
  sample_all(static_cast<int64_t>(logit_rows_.size()));
}

void StepBench::sample_all(int64_t count) {
  SamplingParams greedy;
  greedy.temperature = 0.0f;
  const SamplePoint point{greedy};
  // Logits of a broken file cannot be sampled; runs of the engine say so.
  if (count == 1) {
    (void)sample_divided(logits(0), point, team_, *workspaces_[0]);
    return;
  }
  team_.run([&](int member) {
    const Range mine = share_of(count, member, team_.size());
    for (int64_t i = mine.begin; i < mine.end; ++i) {
      (void)sample(logits(i), point, *workspaces_[member]);
    }
  });
}

std::span<const float> StepBench::logits(int64_t row) {
  return {decoder_.logits(row), static_cast<size_t>(model_.vocab_size)};
}

}  // namespace forerun
