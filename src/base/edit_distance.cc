#include "base/edit_distance.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace forerun {

int edit_distance(std::string_view a, std::string_view b) {
  // Three rows of the usual table: cost[j] is the distance of a's first i letters and b's first j.
  std::vector<int> before_last(b.size() + 1);
  std::vector<int> last(b.size() + 1);
  std::vector<int> cost(b.size() + 1);
  std::iota(cost.begin(), cost.end(), 0);
  for (size_t i = 1; i <= a.size(); ++i) {
    before_last.swap(last);
    last.swap(cost);
    cost[0] = static_cast<int>(i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const int replaced = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      cost[j] = std::min({replaced, last[j] + 1, cost[j - 1] + 1});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) cost[j] = std::min(cost[j], before_last[j - 2] + 1);
    }
  }
  return cost[b.size()];
}

std::vector<std::string> by_nearness(std::string_view name,
                                     std::span<const std::string> candidates) {
  std::vector<std::pair<int, size_t>> distances;
  distances.reserve(candidates.size());
  for (size_t i = 0; i < candidates.size(); ++i) {
    distances.emplace_back(edit_distance(name, candidates[i]), i);
  }
  std::ranges::sort(distances);
  std::vector<std::string> sorted;
  sorted.reserve(candidates.size());
  for (const auto& [distance, i] : distances) sorted.push_back(candidates[i]);
  return sorted;
}

std::optional<std::string> probably_meant(std::string_view name,
                                          std::span<const std::string> candidates) {
  const std::vector<std::string> sorted = by_nearness(name, candidates);
  if (sorted.empty()) return std::nullopt;
  const int limit = std::max(2, static_cast<int>(name.size() / 3));
  const int distance = edit_distance(name, sorted.front());
  // A name of which nothing is left was not meant.
  if (distance > limit || distance >= static_cast<int>(sorted.front().size())) return std::nullopt;
  return sorted.front();
}

}  // namespace forerun
