#include "engine/engine.h"

#include <algorithm>

#include "base/check.h"
#include "base/hex.h"
#include "base/memory.h"
#include "base/version.h"
#include "engine/state.h"
#include "spec/time_steps.h"

namespace forerun {
namespace {

KvShape kv_shape_of(const ModelDescriptor& model, const KernelTable& kernels,
                    const EngineOptions& options) {
  KvShape shape = kv_shape(model, options.kv_type.value_or(kernels.kv_type));
  if (options.keep_states) {
    const int64_t bytes = kNumTaps * model.d_model * static_cast<int64_t>(sizeof(uint16_t));
    shape.side_arrays.push_back({"states", bytes});
    if (options.keep_finals) shape.side_arrays.push_back({"finals", bytes / kNumTaps});
  }
  return shape;
}

Result<int> choose_pages(const ModelDescriptor& model, const KernelTable& kernels,
                         const EngineOptions& options) {
  const int64_t token_bytes = kv_shape_of(model, kernels, options).page_bytes() / kPageTokens;
  int64_t tokens = options.kv_tokens;
  if (tokens == 0) {
    tokens = std::min(8 * model.context_length, machine_memory_bytes() / 8 / token_bytes);
    tokens = std::max<int64_t>(tokens, kPageTokens);
  }
  const int64_t most = machine_memory_bytes() / token_bytes;
  if (tokens < kPageTokens || tokens > most) {
    return Error{"kv-tokens is " + std::to_string(tokens) + "; it must be between " +
                 std::to_string(kPageTokens) + " and " + std::to_string(most) + " (a token takes " +
                 std::to_string(token_bytes) + " bytes)"};
  }
  return static_cast<int>(tokens / kPageTokens);
}

Status check_speculation(const ModelDescriptor& model, const SpeculationOptions& options) {
  if (options.on() && (options.max_draft < 1 || options.max_draft > kMaxDraft)) {
    return Error{"max-draft is " + std::to_string(options.max_draft) +
                 "; it must be between 1 and " + std::to_string(kMaxDraft)};
  }
  if (options.draft_model != nullptr && (options.eagle3 != nullptr || options.head_slot)) {
    return Error{"a draft model and an EAGLE-3 head cannot both draft"};
  }
  if (options.draft_model != nullptr &&
      options.draft_model->descriptor().vocab_size != model.vocab_size) {
    return Error{"the draft model has " +
                 std::to_string(options.draft_model->descriptor().vocab_size) +
                 " tokens; the model's vocabulary has " + std::to_string(model.vocab_size)};
  }
  return {};
}

ModelDrafter::Limits drafter_limits(const EngineState& state) {
  const SpeculationOptions& options = state.options.speculation;
  return {.max_sequences = state.options.max_sequences,
          .num_pages = state.cache.num_pages(),
          .target_vocab_size = state.model.descriptor().vocab_size,
          .second_choices = options.trees,
          .argmax = options.argmax_drafts};
}

std::unique_ptr<ModelDrafter> make_model_drafter(const EngineState& state,
                                                 const KernelTable& kernels) {
  const SpeculationOptions& options = state.options.speculation;
  if (!options.has_model()) return nullptr;
  return std::make_unique<ModelDrafter>(options.eagle3 != nullptr
                                            ? DraftingModel::of(*options.eagle3)
                                            : DraftingModel::of(*options.draft_model),
                                        kernels, state.team, drafter_limits(state));
}

// By all threads, and by the smaller team.
TeamCosts time_teams(EngineState& state) {
  const int all = state.team.capacity();
  const int smaller = state.options.smaller_team;
  TeamCosts costs(all, time_steps(state.decoder, state.cache.pool()));
  if (smaller == 0) return costs;
  state.team.resize(smaller);
  costs.add(smaller, time_steps(state.decoder, state.cache.pool()));
  state.team.resize(all);
  return costs;
}

Status check_options(const ModelDescriptor& model, const Team& team, const EngineOptions& options) {
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
  if (options.smaller_team < 0 || options.smaller_team >= team.capacity()) {
    return Error{"a team of " + std::to_string(options.smaller_team) +
                 " threads is none that is smaller than " + std::to_string(team.capacity())};
  }
  return check_speculation(model, options.speculation);
}

std::string make_fingerprint(const Model& model, const KernelTable& kernels, KvType kv_type) {
  return "forerun-" + std::string(kVersion) + "-" + hex(model.weights().fingerprint) + "-" +
         std::string(kernels.name) + "-kv_" + std::string(kv_type_name(kv_type));
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
      decoder(the_model.descriptor(), the_model.weights(), kernels, the_team,
              {.max_rows = options.max_step_rows,
               .max_logit_rows = options.max_sequences + kMaxPromptLogits +
                                 (options.speculation.on() ? options.speculation.max_rows : 0)}),
      cache(kv_shape_of(the_model.descriptor(), kernels, options), num_pages),
      wanted_threads(the_team.size()) {
  fingerprint = make_fingerprint(the_model, kernels, cache.pool().shape().type);
  sequence_limit =
      std::min<int64_t>(model.descriptor().context_length, int64_t{num_pages} * kPageTokens);
  const auto rows = static_cast<size_t>(options.max_step_rows);
  const auto places = static_cast<size_t>(options.max_sequences);
  step_tokens.reserve(rows);
  step_groups.reserve(rows);
  step_logit_rows.reserve(rows);
  step_parents.reserve(rows);
  prompt_scores.reserve(kMaxPromptLogits);
  step_sequences.reserve(rows + places);
  running.reserve(places);
  sampling.reserve(places);
  samples.reserve(places);
  if (options.speculation.on()) {
    speculator = std::make_unique<Speculator>(options.speculation, options.max_sequences,
                                              make_model_drafter(*this, kernels));
    samples.reserve(places + options.speculation.max_rows);
  }
  if (options.keep_states) {
    for (int i = 0; i < kNumTaps; ++i) {
      tap_memory[i] = Buffer(rows * model.descriptor().d_model * sizeof(float));
      tap.entering[i] = tap_memory[i].as<float>();
    }
    if (options.keep_finals) {
      finals_memory = Buffer(rows * model.descriptor().d_model * sizeof(float));
      tap.final_normed = finals_memory.as<float>();
    }
    tap.layers = options.speculation.eagle3 != nullptr ? options.speculation.eagle3->state_layers()
                                                       : tap_layers(model.descriptor().num_layers);
  }
  for (int member = 0; member < team.capacity(); ++member) {
    workspaces.push_back(std::make_unique<SamplerWorkspace>(
        static_cast<int>(model.descriptor().vocab_size), kernels.isa));
  }
}

Engine::Engine(std::unique_ptr<EngineState> state) : state_(std::move(state)) {}
Engine::~Engine() {
  state_->team.resize(state_->team.capacity());
}

Result<std::unique_ptr<Engine>> Engine::create(const Model& model, const KernelTable& kernels,
                                               Team& team, EngineOptions options) {
  if (const Status status = check_options(model.descriptor(), team, options); !status.ok()) {
    return status.error();
  }
  const SpeculationOptions& speculation = options.speculation;
  if (speculation.eagle3 != nullptr || speculation.head_slot || options.keep_finals) {
    options.keep_states = true;
  }
  const Result<int> num_pages = choose_pages(model.descriptor(), kernels, options);
  if (!num_pages.ok()) return num_pages.error();
  team.resize(team.capacity());
  auto state = std::make_unique<EngineState>(model, kernels, team, std::move(options), *num_pages);
  if (state->options.commit_kv) state->cache.pool().commit(team);
  state->team_costs = time_teams(*state);
  state->cost = state->first_cost = state->team_costs.timed(team.capacity());
  for (int threads = 1; threads <= team.capacity(); ++threads) {
    state->averages[static_cast<size_t>(threads)] = StepAverages(state->team_costs.timed(threads));
  }
  return std::unique_ptr<Engine>(new Engine(std::move(state)));
}

Result<RequestId> Engine::add(Request request) {
  if (const Status status = check_request(*state_, request); !status.ok()) return status.error();
  state_->busy.store(true, std::memory_order_relaxed);
  return queue_request(*state_, std::move(request));
}

void Engine::cancel(RequestId id) {
  if (state_->requests.contains(id)) state_->cancelled.push_back(id);
}

bool Engine::step() {
  EngineState& state = *state_;
  CHECK(!state.stepping, "a callback must not call step()");
  state.stepping = true;
  const bool moved = run_step(state);
  state.stepping = false;
  state.busy.store(moved, std::memory_order_relaxed);
  return moved;
}

void Engine::set_threads(int threads) {
  CHECK(threads >= 1 && threads <= this->threads(), "steps are made by some of the team's threads");
  state_->wanted_threads.store(threads, std::memory_order_relaxed);
}

int Engine::threads() const {
  return state_->team.capacity();
}

void Engine::set_active_sources(const ActiveSources& active) {
  if (state_->speculator) state_->speculator->set_active(active);
}

Result<std::unique_ptr<ReadyHead>> Engine::make_ready(std::shared_ptr<const Eagle3Head> head,
                                                      int64_t version) const {
  const EngineState& state = *state_;
  CHECK(state.options.speculation.head_slot, "the engine has no place for a head");
  auto ready = std::make_unique<ReadyHead>();
  ready->version = version;
  if (head == nullptr) return ready;
  if (head->state_layers() != state.tap.layers) {
    return Error{"the head reads other layers' states than those that are kept"};
  }
  ModelDrafter::Limits limits = drafter_limits(state);
  // A step reads all weights once, or most of what it takes is for other things.
  limits.costs =
      state.team_costs.scaled(static_cast<double>(head->weights().file_bytes_per_step) /
                              static_cast<double>(state.model.weights().file_bytes_per_step));
  limits.max_tokens = state.sequence_limit;
  ready->drafter = std::make_unique<ModelDrafter>(DraftingModel::of(*head), state.decoder.kernels(),
                                                  state.team, limits);
  if (state.options.commit_kv) ready->drafter->commit_memory();
  ready->head = std::move(head);
  return ready;
}

void Engine::offer_head(std::unique_ptr<ReadyHead> head) {
  state_->head_slot.offer(std::move(head));
}

void Engine::collect_heads() {
  state_->head_slot.collect();
}

bool Engine::is_busy() const {
  return state_->busy.load(std::memory_order_relaxed);
}

Status Engine::save_history(const std::string& path) const {
  return state_->speculator ? state_->speculator->save_history(path) : Status();
}

Status Engine::restore_history(const std::string& path) {
  if (!state_->speculator) return {};
  return state_->speculator->restore_history(path, state_->model.descriptor().vocab_size);
}

void Engine::flush_prefix_cache() {
  state_->cache.flush();
}

EngineStats Engine::stats() const {
  EngineStats stats = state_->stats;
  stats.threads = state_->team.size();
  stats.running = static_cast<int64_t>(state_->running.size());
  stats.waiting = static_cast<int64_t>(state_->waiting.size());
  stats.prefix_queries = state_->cache.prefix_queries();
  stats.prefix_hits = state_->cache.prefix_hits();
  if (state_->speculator) stats.speculation = state_->speculator->stats();
  stats.kv_pages = state_->cache.num_pages();
  stats.kv_pages_in_use = state_->cache.pages_in_use();
  return stats;
}

EngineLoad Engine::load() const {
  return state_->load.read();
}

StepCost Engine::average_cost() const {
  return average_cost(state_->team.size());
}

StepCost Engine::average_cost(int threads) const {
  const auto working = static_cast<size_t>(state_->team.size());
  return state_->averages[working].cost_of(state_->team_costs.timed(threads));
}

Decoder& Engine::decoder() {
  return state_->decoder;
}
const std::string& Engine::fingerprint() const {
  return state_->fingerprint;
}
int64_t Engine::context_length() const {
  return state_->sequence_limit;
}

}  // namespace forerun
