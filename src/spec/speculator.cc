#include "spec/speculator.h"

#include <algorithm>

#include "base/clock.h"
#include "spec/history_drafter.h"
#include "spec/prediction_drafter.h"

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

}  // namespace

Speculator::Speculator(const SpeculationOptions& options, int max_sequences) : options_(options) {
  options_.max_draft = std::clamp(options_.max_draft, 1, kMaxDraft);
  const auto add = [&](DraftSource kind, std::unique_ptr<Drafter> drafter) {
    sources_.push_back({kind, std::move(drafter), /*proposal=*/{}});
    sources_.back().proposal.reserve(kMaxDraft);
  };
  if (options_.history) {
    add(DraftSource::kHistory, std::make_unique<HistoryDrafter>(options_.history_tokens));
  }
  if (options_.prediction) add(DraftSource::kPrediction, std::make_unique<PredictionDrafter>());
  const auto places = static_cast<size_t>(max_sequences);
  drafted_.reserve(places);
  curves_.reserve(places);
  heap_.reserve(places);
  context_.reserve(kDraftContext + kMaxDraft);
}

Speculator::~Speculator() = default;

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
  here.failed = here.expected_failed = 0.0;
  here.shadow.clear();
  here.shadow_came = 0;
  here.counts = {};
  here.draft.clear();
  here.draft.reserve(kMaxDraft);
  here.shadow.reserve(kMaxDraft);
  here.survival.reserve(kMaxDraft);
  for (Source& source : sources_) source.drafter->begin(place, request);
  return place;
}

void Speculator::end(int place) {
  for (Source& source : sources_) source.drafter->end(place);
  std::erase(drafted_, place);
  free_places_.push_back(place);
}

void Speculator::set_active(const ActiveSources& active) {
  for (Source& source : sources_) {
    source.active = source.kind == DraftSource::kHistory ? active.history : active.prediction;
  }
}

// How many times as often this sequence's drafts fail as others'.
double Speculator::doubt(const Place& place) const {
  const double ratio = (place.failed + kDoubtStrength) / (place.expected_failed + kDoubtStrength);
  return std::clamp(ratio, kLeastDoubt, kMostDoubt);
}

// Lets every source propose what comes behind context_; false when none does.
bool Speculator::ask(int place, int max_tokens) {
  bool any = false;
  const int num_drafted = places_[place].draft.size();
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
void Speculator::extend(Place& here, int max_tokens) {
  double survival = here.survival.empty() ? 1.0 : here.survival.back();
  for (int step = 0; here.draft.size() < max_tokens; ++step) {
    double probability = 0.0;
    const Source* best = best_source(step, here.draft.size(), probability);
    if (best == nullptr) return;
    survival *= std::max(0.0, 1.0 - (1.0 - probability) * doubt(here));
    if (survival < kLeastSurvival && !options_.forced) return;
    const int32_t token = best->proposal.tokens[step];
    here.draft.push(token, best->proposal.evidence[step]);
    here.survival.push_back(static_cast<float>(survival));
    context_.push_back(token);
    for (Source& source : sources_) {
      source.agrees =
          source.agrees && step < source.proposal.size() && source.proposal.tokens[step] == token;
    }
  }
}

void Speculator::draft(int place, std::span<const int32_t> context, int max_tokens) {
  const double begin = now_seconds();
  Place& here = places_[place];
  here.draft.clear();
  here.survival.clear();
  here.length = 0;
  here.keys = static_cast<int64_t>(context.size());
  max_tokens = std::min(max_tokens, options_.max_draft);
  const std::span<const int32_t> last =
      context.last(std::min<size_t>(context.size(), kDraftContext));
  context_.assign(last.begin(), last.end());
  for (int question = 0; question < kMaxQuestions; ++question) {
    const int before = here.draft.size();
    if (before >= max_tokens || !ask(place, max_tokens - before)) break;
    extend(here, max_tokens);
    if (here.draft.size() == before) break;
  }
  if (here.draft.size() > 0) drafted_.push_back(place);
  stats_.seconds += now_seconds() - begin;
}

void Speculator::choose(const DraftBudget& budget, const StepCost& cost) {
  const double begin = now_seconds();
  curves_.clear();
  for (const int32_t place : drafted_) {
    curves_.push_back({places_[place].survival, places_[place].keys, /*length=*/0});
  }
  if (options_.forced) {
    int64_t left = budget.max_rows;
    for (DraftCurve& curve : curves_) {
      curve.length = static_cast<int>(std::min<int64_t>(left, std::ssize(curve.survival)));
      left -= curve.length;
    }
  } else {
    choose_lengths(budget, cost, curves_, heap_);
  }
  for (size_t i = 0; i < curves_.size(); ++i) places_[drafted_[i]].length = curves_[i].length;
  drafted_.clear();
  stats_.seconds += now_seconds() - begin;
}

std::span<const int32_t> Speculator::draft_of(int place) const {
  const Place& here = places_[place];
  return {here.draft.tokens.data(), static_cast<size_t>(here.length)};
}

void Speculator::drop(int place) {
  places_[place].length = 0;
}

void Speculator::note(Place& here, int index, bool accepted) {
  const Evidence& evidence = here.draft.evidence[index];
  const double expected = 1.0 - acceptance_.probability(evidence, index);
  here.expected_failed = kDoubtFade * here.expected_failed + expected;
  here.failed = kDoubtFade * here.failed + (accepted ? 0.0 : 1.0);
  acceptance_.observe(evidence, index, accepted);
  if (index >= here.length) return;  // only compared
  if (!accepted) return;
  ++stats_.accepted_tokens;
  ++stats_.accepted_at[index];
  const auto source = static_cast<size_t>(evidence.source);
  ++stats_.by_source[source].accepted;
  ++here.counts.by_source[source].accepted;
}

void Speculator::follow_shadow(Place& here, std::span<const int32_t> tokens) {
  for (const int32_t token : tokens) {
    if (here.shadow_came >= here.shadow.size()) return;
    const bool came = here.shadow.tokens[here.shadow_came] == token;
    acceptance_.observe(here.shadow.evidence[here.shadow_came], here.shadow_came, came);
    if (!came) return here.shadow.clear();
    ++here.shadow_came;
  }
}

void Speculator::learn(int place, std::span<const int32_t> tokens) {
  const double begin = now_seconds();
  Place& here = places_[place];
  if (here.length > 0) {
    ++stats_.drafts;
    ++here.counts.drafts;
    stats_.draft_tokens += here.length;
    for (int i = 0; i < here.length; ++i) {
      const auto source = static_cast<size_t>(here.draft.evidence[i].source);
      ++stats_.by_source[source].drafted;
      ++here.counts.by_source[source].drafted;
    }
  }
  follow_shadow(here, tokens);
  // What was not verified can still be compared with the token behind it.
  const int compared = std::min(here.draft.size(), static_cast<int>(tokens.size()));
  int came = 0;
  while (came < compared && here.draft.tokens[came] == tokens[came]) note(here, came++, true);
  if (came < compared) note(here, came, false);
  if (came == compared && here.shadow_came >= here.shadow.size()) {
    std::swap(here.shadow, here.draft);
    here.shadow_came = came;
  }
  here.draft.clear();
  here.length = 0;
  for (Source& source : sources_) source.drafter->observe(place, tokens);
  stats_.seconds += now_seconds() - begin;
}

}  // namespace forerun
