#include "spec/speculator.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "base/clock.h"
#include "spec/prediction_drafter.h"
#include "spec/step_size.h"
#include "spec/synthetic_drafter.h"

namespace forerun {
namespace {

// A draft likely to be wrong before this token is not worth to look at further.
constexpr double kLeastSurvival = 0.02;
// How often the sources are asked anew, where what they proposed has come to its end.
constexpr int kMaxQuestions = 4;
// Outcomes of one sequence that count, and how much they may say.
constexpr double kDoubtFade = 0.95;
constexpr double kDoubtStrength = 2.0;
constexpr double kLeastDoubt = 0.6;
constexpr double kMostDoubt = 2.0;
// The longest chain of a model, and of one that is only tried.
constexpr int kMostModelDepth = 8;
constexpr int kProbeDepth = 3;
// Of the time, what trying a model that does not pay may take.
constexpr double kProbeShare = 0.004;
// A step with more prefill than this part of it says nothing of its decoding.
constexpr double kMostPrefill = 0.1;
// Steps that catching up pays for.
constexpr double kCatchUpSteps = 32.0;

}  // namespace

Speculator::Speculator(const SpeculationOptions& options, int max_sequences,
                       std::unique_ptr<ModelDrafter> model)
    : options_(options) {
  options_.max_draft = std::clamp(options_.max_draft, 1, kMaxDraft);
  sources_.reserve(kNumDraftSources);
  model_proposal_.reserve(kMaxDraft);
  const auto add = [&](DraftSource kind, std::unique_ptr<Drafter> drafter) {
    sources_.push_back({kind, std::move(drafter), /*proposal=*/{}});
    sources_.back().proposal.reserve(kMaxDraft);
  };
  if (options_.history) {
    auto history = std::make_unique<HistoryDrafter>(options_.history_tokens);
    history_ = history.get();
    add(DraftSource::kHistory, std::move(history));
  }
  if (options_.synthetic_acceptance > 0.0) {
    add(DraftSource::kPrediction,
        std::make_unique<SyntheticDrafter>(options_.synthetic_acceptance, options_.max_draft));
  } else if (options_.prediction) {
    add(DraftSource::kPrediction, std::make_unique<PredictionDrafter>());
  }
  if (model != nullptr) add_model(std::move(model));
  const auto places = static_cast<size_t>(max_sequences);
  tasks_.reserve(places);
  drafted_.reserve(places);
  curves_.reserve(places);
  heap_.reserve(places);
  nodes_.reserve(kMaxDraft);
  order_.reserve(kMaxDraft);
  ranks_.reserve(kMaxDraft);
  draft_.reserve(kMaxDraft);
  survival_.reserve(kMaxDraft);
  context_.reserve(kDraftContext + kMaxDraft);
}

Speculator::~Speculator() = default;

void Speculator::add_model(std::unique_ptr<ModelDrafter> model) {
  model_ = model.get();
  sources_.push_back({model_->source(), std::move(model), std::move(model_proposal_)});
  sources_.back().active = model_active_;
}

std::unique_ptr<ModelDrafter> Speculator::swap_model(std::unique_ptr<ModelDrafter> next) {
  std::unique_ptr<ModelDrafter> before;
  if (std::exchange(model_, nullptr) != nullptr) {
    before.reset(static_cast<ModelDrafter*>(sources_.back().drafter.release()));
    model_proposal_ = std::move(sources_.back().proposal);
    sources_.pop_back();
  }
  trials_ = {};
  stats_.measured = {};
  if (next == nullptr) return before;
  add_model(std::move(next));
  for (size_t place = 0; place < places_.size(); ++place) {
    if (places_[place].is_taken) model_->begin(static_cast<int>(place), places_[place].request);
  }
  return before;
}

std::span<const FirstDraft> Speculator::first_drafts(int place) const {
  return model_ == nullptr ? std::span<const FirstDraft>() : model_->first_drafts(place);
}

int Speculator::begin(const DraftRequest& request) {
  if (free_places_.empty()) {
    free_places_.push_back(static_cast<int32_t>(places_.size()));
    places_.emplace_back();
    free_places_.reserve(places_.size());
  }
  const int place = free_places_.back();
  free_places_.pop_back();
  Place& here = places_[place];
  here.length = 0;
  here.in_step = false;
  here.is_taken = true;
  here.request = request;
  here.request.prompt = here.request.prediction = {};
  here.failed = here.expected_failed = 0.0;
  here.counts = {};
  for (Followed* followed : {&here.newest, &here.shadow}) {
    followed->tree.clear();
    followed->tree.reserve(kMaxDraft);
  }
  for (Source& source : sources_) source.drafter->begin(place, request);
  return place;
}

void Speculator::end(int place) {
  for (Source& source : sources_) source.drafter->end(place);
  places_[place].is_taken = false;
  std::erase(drafted_, place);
  free_places_.push_back(place);
}

Status Speculator::save_history(const std::string& path) const {
  return history_ == nullptr ? Status() : history_->save(path);
}

Status Speculator::restore_history(const std::string& path, int64_t vocab_size) {
  return history_ == nullptr ? Status() : history_->restore(path, vocab_size);
}

void Speculator::set_active(const ActiveSources& active) {
  for (Source& source : sources_) {
    if (source.kind == DraftSource::kHistory) source.active = active.history;
    if (source.kind == DraftSource::kPrediction) source.active = active.prediction;
    if (source.drafter.get() == model_) source.active = active.model;
  }
  model_active_ = active.model;
}

// How many times as often this sequence's drafts fail as others'.
double Speculator::doubt(const Place& place) const {
  const double ratio = (place.failed + kDoubtStrength) / (place.expected_failed + kDoubtStrength);
  return std::clamp(ratio, kLeastDoubt, kMostDoubt);
}

// Lets every source propose what comes behind context_; false when none does.
bool Speculator::ask(int place, int max_tokens) {
  bool any = false;
  const int num_drafted = draft_.size();
  for (Source& source : sources_) {
    source.agrees = true;
    source.proposal.clear();
    if (!source.active) continue;
    source.drafter->propose(place, context_, num_drafted, max_tokens, source.proposal);
    any = any || source.proposal.size() > 0;
  }
  return any;
}

// The source whose token `step` of its proposal is the likeliest one at `position` of the draft.
Speculator::Source* Speculator::best_source(int step, int position, double& probability) {
  Source* best = nullptr;
  for (Source& source : sources_) {
    if (!source.agrees || step >= source.proposal.size()) continue;
    const double its = acceptance_.cautious(source.proposal.evidence[step], position);
    if (best != nullptr && its <= probability) continue;
    best = &source;
    probability = its;
  }
  return best;
}

// Follows the proposals, at every token the likeliest, until none is left that agrees.
void Speculator::extend(const Place& here, int max_tokens) {
  double survival = survival_.empty() ? 1.0 : survival_.back();
  for (int step = 0; draft_.size() < max_tokens; ++step) {
    double probability = 0.0;
    const Source* best = best_source(step, draft_.size(), probability);
    if (best == nullptr) return;
    survival *= std::max(0.0, 1.0 - (1.0 - probability) * doubt(here));
    if (survival < kLeastSurvival && !options_.forced) return;
    const int32_t token = best->proposal.tokens[step];
    draft_.push(token, best->proposal.evidence[step]);
    survival_.push_back(static_cast<float>(survival));
    if (options_.trees) add_others(step, *best);
    context_.push_back(token);
    for (Source& source : sources_) {
      source.agrees =
          source.agrees && step < source.proposal.size() && source.proposal.tokens[step] == token;
    }
  }
}

// What may come instead of the token just drafted, step `step` of what `best` proposes: its second
// choice, and what other sources would rather have.
void Speculator::add_others(int step, const Source& best) {
  const int32_t token = draft_.tokens.back();
  const auto add = [&](int32_t other, const Evidence& evidence) {
    const bool is_there = std::ranges::any_of(draft_.others, [&](const Draft::Other& one) {
      return one.place == draft_.size() - 1 && one.token == other;
    });
    const bool has_room = draft_.others.size() < kMaxDraft;
    if (other != token && !is_there && has_room) draft_.push_other(other, evidence);
  };
  for (const Source& source : sources_) {
    const bool disagrees = source.agrees && step < source.proposal.size();
    if (disagrees) add(source.proposal.tokens[step], source.proposal.evidence[step]);
  }
  for (const Draft::Other& other : best.proposal.others) {
    if (other.place == step) add(other.token, other.evidence);
  }
}

// The draft as a tree, its likeliest nodes first.
void Speculator::grow_tree(Place& here) {
  nodes_.clear();
  for (int i = 0; i < draft_.size(); ++i) {
    nodes_.push_back({draft_.tokens[i], i - 1, draft_.evidence[i], survival_[i]});
  }
  for (const Draft::Other& other : draft_.others) {
    if (nodes_.size() == kMaxDraft) break;
    const double before = other.place == 0 ? 1.0 : survival_[other.place - 1];
    // Only a first choice that fails leaves something to the second.
    const double failed = 1.0 - acceptance_.probability(draft_.evidence[other.place], other.place);
    const double survival = before * failed * acceptance_.cautious(other.evidence, other.place);
    if (survival < kLeastSurvival && !options_.forced) continue;
    nodes_.push_back({other.token, other.place - 1, other.evidence, static_cast<float>(survival)});
  }
  DraftTree& tree = here.newest.tree;
  tree.clear();
  here.newest.node = -1;
  here.newest.depth = 0;
  // Parents are at least as likely as their children, and have a lower index.
  order_.resize(nodes_.size());
  std::iota(order_.begin(), order_.end(), 0);
  std::ranges::sort(order_, [&](int32_t a, int32_t b) {
    const float of_a = nodes_[a].survival;
    const float of_b = nodes_[b].survival;
    return of_a > of_b || (of_a == of_b && a < b);
  });
  ranks_.resize(nodes_.size());
  for (const int32_t index : order_) {
    const Node& node = nodes_[index];
    ranks_[index] = tree.size();
    tree.tokens.push_back(node.token);
    tree.parents.push_back(node.parent < 0 ? -1 : ranks_[node.parent]);
    tree.evidence.push_back(node.evidence);
    tree.survival.push_back(node.survival);
  }
}

void Speculator::draft(const DraftTask& task) {
  Place& here = places_[task.place];
  here.newest.tree.clear();
  here.length = 0;
  here.keys = std::ssize(task.tokens);
  here.in_step = true;
  tasks_.push_back(task);
}

void Speculator::draft_from_sources(const DraftTask& task) {
  Place& here = places_[task.place];
  draft_.clear();
  survival_.clear();
  const int max_tokens = std::min(task.max_tokens, options_.max_draft);
  const std::span<const int32_t> last =
      task.tokens.last(std::min<size_t>(task.tokens.size(), kDraftContext));
  context_.assign(last.begin(), last.end());
  for (int question = 0; question < kMaxQuestions; ++question) {
    const int before = draft_.size();
    if (before >= max_tokens || !ask(task.place, max_tokens - before)) break;
    extend(here, max_tokens);
    if (draft_.size() == before) break;
  }
  if (task.chain_only) draft_.others.clear();
  grow_tree(here);
  if (draft_.size() > 0) drafted_.push_back(task.place);
}

// Tokens a second that are expected.
double Speculator::choose_now(const DraftBudget& budget, const StepCost& cost) {
  curves_.clear();
  for (const int32_t place : drafted_) {
    const Place& here = places_[place];
    curves_.push_back({here.newest.tree.survival, here.keys, /*length=*/0});
  }
  double rate = 0.0;
  if (options_.forced) {
    int64_t left = budget.max_rows;
    for (DraftCurve& curve : curves_) {
      curve.length = static_cast<int>(std::min<int64_t>(left, std::ssize(curve.survival)));
      left -= curve.length;
    }
  } else {
    rate = choose_lengths(budget, cost, curves_, heap_);
  }
  for (size_t i = 0; i < curves_.size(); ++i) places_[drafted_[i]].length = curves_[i].length;
  return rate;
}

// How far the model drafts in this step for all tasks; 0 where that does not pay.
int Speculator::choose_depth(const DraftBudget& budget, const StepCost& cost,
                             double rate_without) const {
  const int most = std::min(options_.max_draft, kMostModelDepth);
  if (options_.forced) return most;
  const ModelDrafter::Seconds own = model_->predict(tasks_);
  double seconds_besides = own.catching_up / kCatchUpSteps - budget.prefill_seconds(cost);
  StepWork work = budget.work;
  double tokens = budget.tokens;
  double survival = 1.0;
  int best = 0;
  double best_rate = rate_without * kLeastGain;
  for (int depth = 1; depth <= most; ++depth) {
    survival *= model_->expected(depth - 1);
    for (const DraftTask& task : tasks_) {
      if (task.max_tokens < depth) continue;
      tokens += survival;
      work.add_rows(1, std::ssize(task.tokens) + depth - 1);
    }
    const double verifying = cost.predict(work);
    if (work.rows - budget.work.rows > budget.max_rows || verifying > budget.max_seconds) break;
    seconds_besides += own.round;
    const double rate = tokens / (verifying + seconds_besides);
    if (rate > best_rate) {
      best_rate = rate;
      best = depth;
    }
  }
  return best;
}

void Speculator::run_model(std::span<const DraftTask> tasks, int depth) {
  const double begin = now_seconds();
  const double timed = model_->timed_seconds();
  model_->compute(tasks, depth);
  stats_.model_seconds += now_seconds() - begin;
  stats_.model_timed_seconds += model_->timed_seconds() - timed;
  unprobed_seconds_ = 0.0;
}

// Lets a model that does not pay draft for one sequence now and then, so that it is noticed when it
// would. What it drafts is only compared.
void Speculator::probe_model(double step_seconds) {
  unprobed_seconds_ += step_seconds;
  const std::span<const DraftTask> one(tasks_.data(), 1);
  const ModelDrafter::Seconds own = model_->predict(one);
  if (kProbeDepth * own.round + own.catching_up > kProbeShare * unprobed_seconds_) return;
  run_model(one, kProbeDepth);
}

void Speculator::settle(double seconds) {
  const Outlook outlook = std::exchange(outlook_, {});
  const double decoding = seconds - outlook.prefill_seconds;
  if (!outlook.on_trial || outlook.tokens == 0 || decoding <= 0.0) return;
  if (outlook.prefill_seconds > kMostPrefill * seconds) return;
  trial().observe(static_cast<double>(outlook.tokens) * outlook.plain_token_seconds,
                  decoding + outlook.drafting_seconds);
  stats_.measured[size_] = trial().measured();
}

void Speculator::choose(const DraftBudget& budget, const StepCost& cost) {
  const double begin = now_seconds();
  const double model_seconds = stats_.model_seconds;
  size_ = step_size(tasks_.size());
  const double plain_seconds = cost.timed(budget.decoding);
  const bool on_trial =
      !options_.forced && plain_seconds > 0.0 && std::ranges::any_of(sources_, &Source::active);
  const bool may_draft = !on_trial || trial().drafts();
  stats_.off_steps += may_draft ? 0 : 1;
  if (may_draft) {
    for (const DraftTask& task : tasks_) draft_from_sources(task);
  }
  const double rate = choose_now(budget, cost);
  const bool model_drafts =
      model_ != nullptr && sources_.back().active && !tasks_.empty() && budget.max_rows > 0;
  if (model_drafts) {
    const int depth = may_draft ? choose_depth(budget, cost, rate) : 0;
    if (depth > 0) {
      run_model(tasks_, depth);
      drafted_.clear();
      for (const DraftTask& task : tasks_) draft_from_sources(task);
      choose_now(budget, cost);
    } else {
      probe_model(cost.predict(budget.decoding));
    }
  }
  const double seconds = now_seconds() - begin;
  outlook_ = {.plain_token_seconds = plain_seconds / budget.tokens,
              .prefill_seconds = budget.prefill_seconds(cost),
              .drafting_seconds = seconds,
              .on_trial = on_trial};
  drafted_.clear();
  tasks_.clear();
  stats_.seconds += seconds - (stats_.model_seconds - model_seconds);
}

std::span<const int32_t> Speculator::draft_of(int place) const {
  const Place& here = places_[place];
  return {here.newest.tree.tokens.data(), static_cast<size_t>(here.length)};
}

std::span<const int32_t> Speculator::parents_of(int place) const {
  const Place& here = places_[place];
  const DraftTree& tree = here.newest.tree;
  if (tree.is_chain(here.length)) return {};
  return {tree.parents.data(), static_cast<size_t>(here.length)};
}

void Speculator::drop(int place) {
  places_[place].length = 0;
}

// A node turned out right or wrong, its parents being right; `length` nodes were verified.
void Speculator::note(Place& here, const Followed& followed, int node, int length, bool accepted) {
  const Evidence& evidence = followed.tree.evidence[node];
  if (!evidence.second) {
    const double expected = 1.0 - acceptance_.probability(evidence, followed.depth);
    here.expected_failed = kDoubtFade * here.expected_failed + expected;
    here.failed = kDoubtFade * here.failed + (accepted ? 0.0 : 1.0);
  }
  acceptance_.observe(evidence, followed.depth, accepted);
  if (node >= length || !accepted) return;
  ++stats_.accepted_tokens;
  ++stats_.accepted_at[followed.depth];
  const auto source = static_cast<size_t>(evidence.source);
  ++stats_.by_source[source].accepted;
  ++here.counts.by_source[source].accepted;
}

// Compares a draft with what came, verified or not; false when there is nothing left to compare.
bool Speculator::follow(Place& here, Followed& followed, std::span<const int32_t> tokens,
                        int length) {
  const DraftTree& tree = followed.tree;
  const auto children = [&](auto visit) {
    for (int node = followed.node + 1; node < tree.size(); ++node) {
      if (tree.parents[node] == followed.node) visit(node);
    }
  };
  for (const int32_t token : tokens) {
    int right = -1;
    children([&](int node) {
      if (tree.tokens[node] == token) right = node;
    });
    const bool first_is_right = right >= 0 && !tree.evidence[right].second;
    children([&](int node) {
      // Nothing is learnt of what comes second where the first was right.
      if (!tree.evidence[node].second || !first_is_right) {
        note(here, followed, node, length, node == right);
      }
    });
    if (right < 0) return false;
    followed.node = right;
    ++followed.depth;
  }
  bool has_more = false;
  children([&](int) { has_more = true; });
  return has_more;
}

void Speculator::learn(int place, std::span<const int32_t> tokens) {
  const double begin = now_seconds();
  Place& here = places_[place];
  if (std::exchange(here.in_step, false)) outlook_.tokens += std::ssize(tokens);
  if (here.length > 0) {
    ++stats_.drafts;
    ++here.counts.drafts;
    stats_.draft_tokens += here.length;
    for (int i = 0; i < here.length; ++i) {
      const auto source = static_cast<size_t>(here.newest.tree.evidence[i].source);
      ++stats_.by_source[source].drafted;
      ++here.counts.by_source[source].drafted;
    }
  }
  // What was not verified is compared as the tokens come, so that what it would have brought is
  // learnt for nothing.
  if (!follow(here, here.shadow, tokens, /*length=*/0)) here.shadow.tree.clear();
  const bool has_more = follow(here, here.newest, tokens, here.length);
  if (has_more && here.shadow.tree.size() == 0) std::swap(here.shadow, here.newest);
  here.newest.tree.clear();
  here.length = 0;
  for (Source& source : sources_) source.drafter->observe(place, tokens);
  stats_.seconds += now_seconds() - begin;
}

}  // namespace forerun
