#include "sampling/distribution.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "sampling/elementary.h"
#include "sampling/lanes_generic.h"

namespace forerun {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kLowestFinite = std::numeric_limits<float>::lowest();

size_t floats(int count) {
  return static_cast<size_t>(count) * sizeof(float);
}

uint64_t mass_of_score(float score, float max_score) {
  GenericLanes::IntegerSum mass;
  mass.add(mass_of<GenericLanes>(score, max_score));
  return mass.total();
}

void cut_at(Distribution& distribution, const PrefixEnd& end, SamplerWorkspace& workspace) {
  const int32_t last_id =
      workspace.kernels().find_tie(distribution.view, end.score, end.num_ties - 1);
  distribution.cut = {end.score, last_id, end.num_ties};
}

// A score that at least k tokens reach, and not many more: the k-th highest cell's.
float score_reached_by(int k, const Distribution& distribution, SamplerWorkspace& workspace) {
  const VocabKernels& kernels = workspace.kernels();
  const ScoreView& view = distribution.view;
  const ScoreView cells = {view.cell_max, nullptr, num_cells(view.num_tokens), view.scale};
  const int num_finite = kernels.gather(cells, kLowestFinite, workspace.scores());
  if (num_finite < k) return kLowestFinite;
  return kernels.prefix_by_count(workspace.scores(), num_finite, static_cast<uint64_t>(k)).score;
}

// A score below which all tokens together have no more than `mass`, and not much less.
float score_above_mass(uint64_t mass, const Distribution& distribution) {
  constexpr float kMargin = 0.01f;      // exceeds the error of exp by far
  constexpr float kMasslessBy = 28.5f;  // below the maximum: exp(-28.5) is under half of 2^-40
  const uint64_t each = mass / static_cast<uint64_t>(distribution.view.num_tokens);
  if (each == 0) return distribution.max_score - kMasslessBy;
  const double log_weight = std::log(static_cast<double>(each) / kMassOne);
  return distribution.max_score + static_cast<float>(log_weight) - kMargin;
}

// The scores of the kept tokens that a prefix of mass `needed` can hold, and maybe more of them.
int gather_kept(const Distribution& distribution, uint64_t spare_mass,
                SamplerWorkspace& workspace) {
  const VocabKernels& kernels = workspace.kernels();
  const Cut& cut = distribution.cut;
  const float lowest = score_above_mass(spare_mass, distribution);
  if (lowest > cut.score) return kernels.gather(distribution.view, lowest, workspace.scores());
  const int count =
      kernels.gather(distribution.view, std::nextafter(cut.score, kInfinity), workspace.scores());
  std::fill_n(workspace.scores() + count, cut.num_ties, cut.score);
  return count + static_cast<int>(cut.num_ties);
}

}  // namespace

SamplerWorkspace::SamplerWorkspace(int vocab_size, Isa isa)
    : vocab_size_(vocab_size),
      kernels_(vocab_kernels(isa)),
      processed_logits_(floats(vocab_size)),
      cell_max_(floats(num_cells(vocab_size))),
      raw_cell_max_(floats(num_cells(vocab_size))),
      scores_(floats(num_cells(vocab_size) * kCellsPerBlock + kCellsPerBlock)) {}

void keep_top_k(Distribution& distribution, int k, SamplerWorkspace& workspace) {
  const VocabKernels& kernels = workspace.kernels();
  const float lowest = score_reached_by(k, distribution, workspace);
  const int count = kernels.gather(distribution.view, lowest, workspace.scores());
  if (count < k) return;  // the others are -infinity
  cut_at(distribution, kernels.prefix_by_count(workspace.scores(), count, static_cast<uint64_t>(k)),
         workspace);
}

void keep_top_p(Distribution& distribution, float top_p, SamplerWorkspace& workspace) {
  const uint64_t total = kept_mass(distribution, workspace);
  const double share = std::ceil(static_cast<double>(top_p) * static_cast<double>(total));
  const uint64_t needed = std::clamp(static_cast<uint64_t>(share), uint64_t{1}, total);
  const int count = gather_kept(distribution, total - needed, workspace);
  cut_at(
      distribution,
      workspace.kernels().prefix_by_mass(workspace.scores(), count, distribution.max_score, needed),
      workspace);
}

void keep_min_p(Distribution& distribution, float min_p) {
  // Normal floats only; any smaller min_p keeps what this one keeps: everything of any mass.
  const float log_min_p = log_of<GenericLanes>(std::max(min_p, std::numeric_limits<float>::min()));
  const float lowest = distribution.max_score + log_min_p;
  const float below = std::nextafter(lowest, -kInfinity);
  if (below >= distribution.cut.score) {
    distribution.cut = {below, /*last_id=*/-1, /*num_ties=*/0};
  }
}

uint64_t kept_mass(const Distribution& distribution, SamplerWorkspace& workspace) {
  const Cut& cut = distribution.cut;
  uint64_t mass = workspace.kernels().mass(distribution.view, distribution.max_score, cut.score);
  if (cut.num_ties > 0) {
    mass += static_cast<uint64_t>(cut.num_ties) * mass_of_score(cut.score, distribution.max_score);
  }
  return mass;
}

}  // namespace forerun
