#include "spec/model_drafter.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "base/clock.h"
#include "base/pacer.h"
#include "sampling/logprobs.h"
#include "spec/time_steps.h"
#include "tensor/float16.h"

namespace forerun {
namespace {

// Outcomes at a position that count; older ones fade. Before there are any, drafts are taken to be
// right more often than not, so that a new model is tried.
constexpr float kMostOutcomes = 512.0f;
constexpr double kFirstGuess = 0.7;
constexpr double kFirstGuessStrength = 8.0;

// Rows a decoder is made for: of a step that catches up, or one of every sequence.
int max_rows(int max_sequences) {
  return std::max(ModelDrafter::kMaxRows, max_sequences);
}

}  // namespace

ModelDrafter::ModelDrafter(const DraftingModel& model, const KernelTable& kernels, Team& team,
                           const Limits& limits)
    : head_(model.head),
      team_(team),
      decoder_(
          *model.descriptor, *model.weights, kernels, team,
          {.max_rows = max_rows(limits.max_sequences), .max_logit_rows = limits.max_sequences}),
      cache_(kv_shape(*model.descriptor, kernels.kv_type), limits.num_pages),
      cost_threads_(team.capacity()),
      weight_version_(model.weights->fingerprint) {
  if (limits.argmax) likeliest_.emplace().temperature = 0.0f;
  const auto rows = static_cast<size_t>(max_rows(limits.max_sequences));
  const auto places = static_cast<size_t>(limits.max_sequences);
  active_.reserve(places);
  tokens_.reserve(rows);
  groups_.reserve(places);
  logit_rows_.reserve(places);
  const auto d_model = static_cast<size_t>(model.descriptor->d_model);
  if (head_ != nullptr) {
    state_inputs_ = Buffer(rows * model.descriptor->state_inputs * sizeof(float));
    states_ = Buffer(places * d_model * sizeof(float));
    leaving_ = Buffer(rows * d_model * sizeof(float));
  }
  const auto vocab_size = static_cast<size_t>(limits.target_vocab_size);
  const bool scatters = head_ != nullptr && !head_->token_of().empty();
  for (int member = 0; member < team.capacity(); ++member) {
    workspaces_.push_back(
        std::make_unique<SamplerWorkspace>(static_cast<int>(vocab_size), kernels.isa));
    pace();
    allowed_.emplace_back(limits.second_choices ? (vocab_size + 31) / 32 : 0, ~uint32_t{0});
    // Tokens the head has no logit of stay impossible.
    scattered_.emplace_back(scatters ? vocab_size : 0, -std::numeric_limits<float>::infinity());
    pace();
  }
  places_.resize(places);
  for (Place& place : places_) make_room(place, limits.max_tokens);
  // With costs given the team may be at work, and its size not ours to read.
  team_costs_ =
      limits.costs ? *limits.costs : TeamCosts(cost_threads_, time_steps(decoder_, cache_.pool()));
  cost_ = first_cost_ = team_costs_.timed(cost_threads_);
}

void ModelDrafter::commit_memory() {
  const int64_t each = Eagle3Head::kWindow / kPageTokens + 1;
  const auto wanted = static_cast<int64_t>(places_.size()) * each;
  cache_.pool().commit_first(static_cast<int>(std::min<int64_t>(wanted, cache_.num_pages())));
  decoder_.commit_memory();
  for (Buffer* buffer : {&state_inputs_, &states_, &leaving_}) {
    buffer->commit(0, buffer->size_bytes());
  }
}

void ModelDrafter::make_room(Place& place, int64_t max_tokens) {
  place.kv.pages.reserve(static_cast<size_t>(max_tokens / kPageTokens) + 3);
  place.chain.reserve(kMaxDraft);
  place.firsts.reserve(static_cast<size_t>(max_tokens));
}

void ModelDrafter::begin(int place, const DraftRequest& request) {
  if (static_cast<size_t>(place) >= places_.size()) places_.resize(place + 1);
  Place& here = places_[place];
  here.first = 0;
  here.kv.key = {weight_version_, request.prefix_key.salt};
  make_room(here, request.max_tokens);
  here.chain.clear();
  here.firsts.clear();
  here.chain_came = 0;
  here.is_fresh = false;
}

void ModelDrafter::end(int place) {
  Place& here = places_[place];
  cache_.release(here.kv);
  here.chain.clear();
}

double ModelDrafter::expected(int position) const {
  const OutcomeCount& here = outcomes_[std::min(position, kMaxDraft - 1)];
  return here.rate(kFirstGuess, kFirstGuessStrength);
}

void ModelDrafter::observe(int place, std::span<const int32_t> tokens) {
  Place& here = places_[place];
  here.is_fresh = false;
  for (const int32_t token : tokens) {
    if (here.chain_came >= here.chain.size()) return;
    const bool accepted = here.chain.tokens[here.chain_came] == token;
    if (here.chain_came == 0) note_first(here, accepted);
    outcomes_[here.chain_came].add(accepted, kMostOutcomes);
    here.chain_came = accepted ? here.chain_came + 1 : here.chain.size();
  }
}

void ModelDrafter::note_first(Place& here, bool accepted) {
  const auto at = static_cast<size_t>(here.chain_at);
  if (at >= here.firsts.capacity()) return;
  if (here.firsts.size() <= at) here.firsts.resize(at + 1, FirstDraft::kNone);
  here.firsts[at] = accepted ? FirstDraft::kRight : FirstDraft::kWrong;
}

void ModelDrafter::propose(int place, std::span<const int32_t> context, int num_drafted,
                           int max_tokens, Draft& draft) {
  const Place& here = places_[place];
  if (!here.is_fresh || num_drafted >= here.chain.size()) return;
  const std::span<const int32_t> drafted = context.last(static_cast<size_t>(num_drafted));
  if (!std::equal(drafted.begin(), drafted.end(), here.chain.tokens.begin())) return;
  const int end = std::min(here.chain.size(), num_drafted + max_tokens);
  auto other = here.chain.others.begin();
  for (int i = num_drafted; i < end; ++i) {
    draft.push(here.chain.tokens[i], here.chain.evidence[i]);
    while (other != here.chain.others.end() && other->place < i) ++other;
    if (other != here.chain.others.end() && other->place == i) {
      draft.push_other(other->token, other->evidence);
    }
  }
}

// Slots that must be filled for the next token to be drafted. A head's slot reads the token behind
// its position.
int64_t ModelDrafter::slots_wanted(const Place& here, const DraftTask& task) const {
  return std::ssize(task.tokens) - (head_ != nullptr ? 1 : 0) - here.first;
}

int64_t ModelDrafter::missing(const Place& here, const DraftTask& task) const {
  const int64_t all = slots_wanted(here, task) - here.kv.num_tokens;
  return head_ != nullptr ? std::min(all, Eagle3Head::kWindow) : all;
}

void ModelDrafter::follow_team() {
  if (cost_threads_ == team_.size()) return;
  cost_ = team_costs_.exchange(cost_threads_, cost_, team_.size());
  first_cost_ = team_costs_.timed(team_.size());
  cost_threads_ = team_.size();
}

ModelDrafter::Seconds ModelDrafter::predict(std::span<const DraftTask> tasks) {
  follow_team();
  StepWork behind;
  StepWork first;
  for (const DraftTask& task : tasks) {
    const Place& here = places_[task.place];
    const int64_t rows = std::min<int64_t>(missing(here, task), kMaxRows);
    const int64_t keys = slots_wanted(here, task);
    behind.add_sequence(rows, keys - rows);
    first.add_sequence(1, keys - 1);
  }
  const double round = cost_.predict(first);
  return {.catching_up = std::max(0.0, cost_.predict(behind) - round), .round = round};
}

// Of the last chain, what came is computed.
void ModelDrafter::commit_chain(Place& here, const DraftTask& task) {
  if (here.chain.size() == 0 || here.kv.num_tokens != here.chain_at) return;
  // The chain's last token was never computed, nor is the last one of all.
  const int64_t most =
      std::min<int64_t>(here.chain.size() - 1, std::ssize(task.tokens) - 1 - here.chain_at);
  int64_t right = 0;
  while (right < most && here.chain.tokens[right] == task.tokens[here.chain_at + right]) ++right;
  if (right > 0) commit(here, task, right);
}

// Takes what is there already; a head that is too far behind begins anew.
void ModelDrafter::sync(Place& here, const DraftTask& task) {
  if (head_ == nullptr) {
    commit_chain(here, task);
    if (here.kv.pages.empty()) cache_.match_prefix(task.tokens, here.kv);
  } else if (slots_wanted(here, task) - here.kv.num_tokens > Eagle3Head::kWindow) {
    cache_.release(here.kv);
    here.first = std::ssize(task.tokens) - 1 - Eagle3Head::kWindow;
  }
}

void ModelDrafter::commit(Place& here, const DraftTask& task, int64_t num_slots) {
  const auto count = static_cast<size_t>(here.kv.num_tokens + num_slots);
  // Of a head, what a page's last slot holds depends on the token behind the page.
  const bool share = head_ == nullptr;
  cache_.commit(here.kv, task.tokens.subspan(static_cast<size_t>(here.first), count), share);
}

// Room, if need be that of sequences which are not drafted for now.
bool ModelDrafter::reserve(Place& here, int64_t num_slots) {
  if (cache_.reserve(here.kv, num_slots)) return true;
  for (Place& other : places_) {
    const bool is_active =
        &other == &here ||
        std::ranges::any_of(active_, [&](const Active& active) { return active.place == &other; });
    if (!is_active && !other.kv.pages.empty()) cache_.release(other.kv);
  }
  return cache_.reserve(here.kv, num_slots);
}

void ModelDrafter::activate(const DraftTask& task, int depth, int& rows_left) {
  Place& here = places_[task.place];
  sync(here, task);
  here.chain.clear();
  here.chain_at = std::ssize(task.tokens);
  here.chain_came = 0;
  here.is_fresh = true;
  depth = std::min(depth, task.max_tokens);
  const bool fits = head_ != nullptr || here.chain_at + depth <= decoder_.model().context_length;
  const auto rows = static_cast<int>(std::min<int64_t>(missing(here, task), rows_left));
  if (!fits || depth <= 0 || rows <= 0) return;
  if (!reserve(here, here.kv.num_tokens + rows + depth)) return;
  rows_left -= rows;
  active_.push_back({.task = &task, .place = &here, .rows = rows, .depth = depth});
}

void ModelDrafter::read_states(const Active& active, int64_t position) {
  const uint16_t* kept = active.task->states.at(position);
  const int64_t count = decoder_.model().state_inputs;
  float* out = state_inputs_.as<float>() + std::ssize(tokens_) * count;
  for (int64_t i = 0; i < count; ++i) out[i] = bf16_to_f32(kept[i]);
}

// Tokens that are known, the last of which the first drafted one follows.
void ModelDrafter::lay_out_known(Active& active) {
  const Place& here = *active.place;
  const int64_t first = here.first + here.kv.num_tokens;
  groups_.push_back({active.rows, here.kv.num_tokens, here.kv.pages, /*parents=*/nullptr});
  work_.add_sequence(active.rows, here.kv.num_tokens);
  for (int64_t position = first; position < first + active.rows; ++position) {
    if (head_ != nullptr) read_states(active, position);
    tokens_.push_back(active.task->tokens[position + (head_ != nullptr ? 1 : 0)]);
  }
}

// The token just drafted.
void ModelDrafter::lay_out_drafted(const Active& active) {
  const Place& here = *active.place;
  const int64_t slot = here.kv.num_tokens + here.chain.size() - 1;
  groups_.push_back({1, slot, here.kv.pages, /*parents=*/nullptr});
  work_.add_sequence(1, slot);
  if (head_ != nullptr) {
    const int64_t d_model = decoder_.model().d_model;
    std::copy_n(leaving_.as<float>() + active.last_row * d_model, d_model,
                states_.as<float>() + std::ssize(tokens_) * d_model);
  }
  tokens_.push_back(here.chain.tokens.back());
}

void ModelDrafter::lay_out(bool known) {
  tokens_.clear();
  groups_.clear();
  logit_rows_.clear();
  work_ = {};
  for (Active& active : active_) {
    // Who does not catch up in this step goes on in the next.
    const bool drafts = !known || active.rows == missing(*active.place, *active.task);
    if (known) {
      lay_out_known(active);
    } else {
      lay_out_drafted(active);
    }
    active.last_row = static_cast<int>(tokens_.size()) - 1;
    active.logit_row = drafts ? static_cast<int>(logit_rows_.size()) : -1;
    if (drafts) logit_rows_.push_back(active.last_row);
  }
}

void ModelDrafter::run_model(bool known) {
  StateTap tap;
  StepInput input{tokens_, groups_, logit_rows_};
  if (head_ != nullptr) {
    tap.leaving = leaving_.as<float>();
    input.tap = &tap;
    (known ? input.state_inputs : input.states) =
        known ? state_inputs_.as<float>() : states_.as<float>();
  }
  decoder_.step(input, cache_.pool());
}

std::span<const float> ModelDrafter::target_logits(int member, int logit_row) {
  const float* logits = decoder_.logits(logit_row);
  std::vector<float>& scattered = scattered_[member];
  if (scattered.empty()) {
    return {logits, static_cast<size_t>(workspaces_[member]->vocab_size())};
  }
  const std::vector<int32_t>& token_of = head_->token_of();
  for (size_t i = 0; i < token_of.size(); ++i) scattered[token_of[i]] = logits[i];
  return scattered;
}

void ModelDrafter::sample(int member, Active& active) {
  if (active.logit_row < 0) return;
  const DraftTask& task = *active.task;
  Draft& chain = active.place->chain;
  SamplerWorkspace& workspace = *workspaces_[member];
  SamplePoint point{likeliest_ ? *likeliest_ : *task.sampling};
  point.penalties = task.penalties;
  point.noise = task.noise;
  point.noise.position += static_cast<uint32_t>(chain.size());
  const std::span<const float> logits = target_logits(member, active.logit_row);
  const Result<Sampled> sampled = forerun::sample(logits, point, workspace);
  if (!sampled.ok()) {
    active.logit_row = -1;  // nothing more comes of it
    return;
  }
  const float logprob = logprobs_of(sampled->distribution, sampled->token_id, {}, workspace).chosen;
  chain.push(sampled->token_id, {source(), /*match=*/0, std::exp(logprob)});
  if (!allowed_[member].empty()) sample_second(member, logits, point, chain);
  if (task.penalties != nullptr) task.penalties->push(chain.tokens.back());
}

// What would be chosen if the token just chosen could not be.
void ModelDrafter::sample_second(int member, std::span<const float> logits, SamplePoint point,
                                 Draft& chain) {
  SamplerWorkspace& workspace = *workspaces_[member];
  const int32_t first = chain.tokens.back();
  uint32_t& word = allowed_[member][first / 32];
  const uint32_t bit = uint32_t{1} << (first % 32);
  word &= ~bit;
  point.allowed = allowed_[member];
  const Result<Sampled> second = forerun::sample(logits, point, workspace);
  word |= bit;
  if (!second.ok()) return;
  const float logprob = logprobs_of(second->distribution, second->token_id, {}, workspace).chosen;
  chain.push_other(second->token_id, {source(), /*match=*/0, std::exp(logprob)});
}

void ModelDrafter::sample_all() {
  if (active_.size() == 1) return sample(0, active_[0]);
  team_.run([&](int member) {
    const Range mine = share_of(std::ssize(active_), member, team_.size());
    for (int64_t i = mine.begin; i < mine.end; ++i) sample(member, active_[i]);
  });
}

void ModelDrafter::compute(std::span<const DraftTask> tasks, int depth) {
  follow_team();
  active_.clear();
  int rows_left = kMaxRows;
  for (const DraftTask& task : tasks) activate(task, depth, rows_left);
  const auto is_done = [](const Active& active) {
    return active.logit_row < 0 || active.place->chain.size() >= active.depth;
  };
  for (bool known = true; !active_.empty(); known = false) {
    const double begin = now_seconds();
    lay_out(known);
    run_model(known);
    if (known) {
      for (const Active& active : active_) commit(*active.place, *active.task, active.rows);
    }
    sample_all();
    cost_.observe(work_, now_seconds() - begin);
    timed_seconds_ += first_cost_.predict(work_);
    std::erase_if(active_, is_done);
  }
  for (const DraftTask& task : tasks) {
    if (task.penalties != nullptr) task.penalties->pop(places_[task.place].chain.size());
  }
}

}  // namespace forerun
