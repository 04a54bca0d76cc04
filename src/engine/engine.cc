#include "engine/engine.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <limits>

#include "base/clock.h"
#include "base/version.h"
#include "engine/state.h"

namespace forerun {
namespace {

constexpr int kMaxChoices = 128;
constexpr size_t kMaxStopStrings = 64;
constexpr size_t kMaxStopBytes = 4096;

int64_t machine_memory_bytes() {
  return static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
}

KvShape kv_shape(const ModelDescriptor& model) {
  return {model.num_layers, model.num_kv_heads, model.head_dim, {}};
}

Result<int> choose_pages(const ModelDescriptor& model, const EngineOptions& options) {
  const int64_t token_bytes = kv_shape(model).page_bytes() / kPageTokens;
  int64_t tokens = options.kv_tokens;
  if (tokens == 0) {
    tokens = std::min(8 * model.context_length, machine_memory_bytes() / 8 / token_bytes);
    tokens = std::max<int64_t>(tokens, kPageTokens);
  }
  const int64_t most = machine_memory_bytes() / token_bytes;
  if (tokens < kPageTokens || tokens > most) {
    return Error{"kv-tokens is " + std::to_string(tokens) + "; it must be between " +
                 std::to_string(kPageTokens) + " and " + std::to_string(most) +
                 " (a token takes " + std::to_string(token_bytes) + " bytes)"};
  }
  return static_cast<int>(tokens / kPageTokens);
}

Status check_options(const EngineOptions& options) {
  if (options.max_sequences < 1 || options.max_sequences > 1024) {
    return Error{"max-sequences is " + std::to_string(options.max_sequences) +
                 "; it must be between 1 and 1024"};
  }
  if (options.max_step_rows < options.max_sequences || options.max_step_rows > 8192) {
    return Error{"max-step-rows is " + std::to_string(options.max_step_rows) +
                 "; it must be between max-sequences (" + std::to_string(options.max_sequences) +
                 ") and 8192"};
  }
  if (!(options.max_step_ms >= 0.0) || options.max_step_ms > 60'000.0) {
    return Error{"max-step-ms must be between 0 and 60000"};
  }
  return {};
}

std::string make_fingerprint(const Model& model, const KernelTable& kernels) {
  std::array<char, 17> hex{};
  std::snprintf(hex.data(), hex.size(), "%016llx",
                static_cast<unsigned long long>(model.weights().fingerprint));
  return "forerun-" + std::string(kVersion) + "-" + hex.data() + "-" + std::string(kernels.name) +
         "-kv" + std::string(traits(kernels.attention.stored).name);
}

// Seconds of the fastest of a few steps of `rows` rows at a depth. All pages of the table are page 0:
// time does not depend on what the keys are, and no other memory is touched.
double time_step(EngineState& state, int rows, int64_t depth, int repetitions) {
  const std::vector<int32_t> pages((depth + rows) / kPageTokens + 1, 0);
  const std::vector<int32_t> tokens(rows, 0);
  const RowGroup group{rows, depth, pages, nullptr};
  const int32_t last = rows - 1;
  double best = std::numeric_limits<double>::max();
  for (int i = 0; i < repetitions; ++i) {
    const double begin = now_seconds();
    state.decoder.step({tokens, {&group, 1}, {&last, 1}, nullptr}, state.cache.pool());
    best = std::min(best, now_seconds() - begin);
  }
  return best;
}

void calibrate(EngineState& state) {
  constexpr int kRows = 32;
  constexpr int64_t kDepth = 1024;
  const double one = time_step(state, 1, 0, 3);
  const double many = time_step(state, kRows, 0, 1);
  const double deep = time_step(state, kRows, kDepth, 1);
  const double row = std::max((many - one) / (kRows - 1), 1e-9);
  const double key = std::max((deep - many) / (kRows * kDepth), 1e-12);
  state.cost = StepCost(std::max(one - row, 1e-9), row, key);
  state.max_step_seconds =
      state.options.max_step_ms > 0.0 ? state.options.max_step_ms / 1e3 : 4.0 * one;
}

Status check_prompt(const EngineState& state, const Request& request) {
  if (request.prompt.empty()) return Error{"prompt is empty; it needs at least one token"};
  const auto tokens = static_cast<int64_t>(request.prompt.size());
  if (tokens >= state.sequence_limit) {
    return Error{"prompt has " + std::to_string(tokens) + " tokens; the model and its memory hold " +
                 std::to_string(state.sequence_limit) + ", and one must be left for the answer"};
  }
  const int64_t vocab_size = state.model.descriptor().vocab_size;
  for (size_t i = 0; i < request.prompt.size(); ++i) {
    if (request.prompt[i] < 0 || request.prompt[i] >= vocab_size) {
      return Error{"prompt token " + std::to_string(i) + " is " +
                   std::to_string(request.prompt[i]) + "; ids go from 0 to " +
                   std::to_string(vocab_size - 1)};
    }
  }
  return {};
}

Status check_stops(const EngineState& state, const Request& request) {
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

Status check_request(const EngineState& state, const Request& request) {
  if (Status status = check_prompt(state, request); !status.ok()) return status;
  if (Status status = check_stops(state, request); !status.ok()) return status;
  if (request.max_tokens < 0) {
    return Error{"max_tokens is " + std::to_string(request.max_tokens) + "; it must not be negative"};
  }
  if (request.n < 1 || request.n > kMaxChoices) {
    return Error{"n is " + std::to_string(request.n) + "; it must be between 1 and " +
                 std::to_string(kMaxChoices)};
  }
  return validate(request.sampling, static_cast<int>(state.model.descriptor().vocab_size));
}

std::unique_ptr<Sequence> make_sequence(const EngineState& state, ActiveRequest& request,
                                        int choice) {
  auto sequence = std::make_unique<Sequence>();
  const std::vector<int32_t>& prompt = request.request.prompt;
  const int64_t most_tokens = static_cast<int64_t>(prompt.size()) + request.max_tokens;
  sequence->request = &request;
  sequence->choice = choice;
  sequence->prompt_tokens = static_cast<int64_t>(prompt.size());
  sequence->tokens.reserve(most_tokens);
  sequence->tokens = prompt;
  sequence->kv.pages.reserve(most_tokens / kPageTokens + 1);
  if (request.request.sampling.has_penalties()) {
    sequence->penalties.emplace(static_cast<int>(state.model.descriptor().vocab_size),
                                static_cast<int>(most_tokens));
    sequence->penalties->reset(prompt);
  }
  if (!request.request.stop_strings.empty()) {
    sequence->stops.emplace(request.request.stop_strings);
  }
  sequence->waits_for_fork = choice > 0;
  return sequence;
}

}  // namespace

std::string_view finish_reason_name(FinishReason reason) {
  constexpr std::string_view kNames[] = {"stop", "length", "cancelled", "error"};
  return kNames[static_cast<size_t>(reason)];
}

EngineState::EngineState(const Model& the_model, const KernelTable& kernels, Team& the_team,
                         EngineOptions the_options, int num_pages)
    : model(the_model),
      team(the_team),
      options(std::move(the_options)),
      fingerprint(make_fingerprint(the_model, kernels)),
      decoder(the_model.descriptor(), the_model.weights(), kernels, the_team,
              {.max_rows = options.max_step_rows, .max_logit_rows = options.max_sequences}),
      cache(kv_shape(the_model.descriptor()), num_pages) {
  sequence_limit =
      std::min<int64_t>(model.descriptor().context_length, int64_t{num_pages} * kPageTokens);
  const auto rows = static_cast<size_t>(options.max_step_rows);
  const auto places = static_cast<size_t>(options.max_sequences);
  step_tokens.reserve(rows);
  step_groups.reserve(rows);
  step_logit_rows.reserve(rows);
  step_sequences.reserve(rows + places);
  running.reserve(places);
  samples.reserve(places + kMaxChoices);
  for (int member = 0; member < team.size(); ++member) {
    workspaces.push_back(std::make_unique<SamplerWorkspace>(
        static_cast<int>(model.descriptor().vocab_size), kernels.isa));
  }
}

Engine::Engine(std::unique_ptr<EngineState> state) : state_(std::move(state)) {}
Engine::~Engine() = default;

Result<std::unique_ptr<Engine>> Engine::create(const Model& model, const KernelTable& kernels,
                                               Team& team, EngineOptions options) {
  if (const Status status = check_options(options); !status.ok()) return status.error();
  const Result<int> num_pages = choose_pages(model.descriptor(), options);
  if (!num_pages.ok()) return num_pages.error();
  auto state =
      std::make_unique<EngineState>(model, kernels, team, std::move(options), *num_pages);
  calibrate(*state);
  return std::unique_ptr<Engine>(new Engine(std::move(state)));
}

Result<RequestId> Engine::add(Request request) {
  EngineState& state = *state_;
  if (const Status status = check_request(state, request); !status.ok()) return status.error();
  auto active = std::make_unique<ActiveRequest>();
  active->id = state.next_id++;
  active->request = std::move(request);
  active->seed = active->request.sampling.seed.value_or(0);
  if (!active->request.sampling.seed) active->seed = draw_seed();
  const int64_t room =
      state.sequence_limit - static_cast<int64_t>(active->request.prompt.size());
  const int64_t wish = active->request.max_tokens;
  active->max_tokens = wish == 0 ? room : std::min(wish, room);
  active->unfinished = active->request.n;
  // Every list that a step moves sequences between has room for all of them.
  const size_t total = state.sequences.size() + active->request.n;
  state.sequences.reserve(total);
  state.waiting.reserve(total);
  for (int choice = 0; choice < active->request.n; ++choice) {
    state.sequences.push_back(make_sequence(state, *active, choice));
    state.waiting.push_back(state.sequences.back().get());
  }
  const RequestId id = active->id;
  state.requests.emplace(id, std::move(active));
  return id;
}

void Engine::cancel(RequestId id) { state_->cancelled.push_back(id); }

bool Engine::step() {
  EngineState& state = *state_;
  const bool had_work = !state.sequences.empty();
  cancel_requests(state);
  sweep(state);
  admit(state);
  plan_step(state);
  if (state.step_tokens.empty()) return had_work && !state.sequences.empty();
  forward(state);
  fork_choices(state);
  sample_tokens(state);
  emit_tokens(state);
  sweep(state);
  return true;
}

void Engine::flush_prefix_cache() { state_->cache.flush(); }

EngineStats Engine::stats() const {
  EngineStats stats = state_->stats;
  stats.running = static_cast<int64_t>(state_->running.size());
  stats.waiting = static_cast<int64_t>(state_->waiting.size());
  stats.prefix_queries = state_->cache.prefix_queries();
  stats.prefix_hits = state_->cache.prefix_hits();
  stats.kv_pages = state_->cache.num_pages();
  stats.kv_pages_in_use = state_->cache.pages_in_use();
  return stats;
}

Decoder& Engine::decoder() { return state_->decoder; }
const std::string& Engine::fingerprint() const { return state_->fingerprint; }
int64_t Engine::context_length() const { return state_->sequence_limit; }

}  // namespace forerun
