#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace forerun {

// Insertions, deletions, replacements and swaps of neighbours that turn one text into the other,
// where no part is changed twice (optimal string alignment).
int edit_distance(std::string_view a, std::string_view b);

// All candidates, nearest first; equally near ones keep their order.
std::vector<std::string> by_nearness(std::string_view name,
                                     std::span<const std::string> candidates);

// The candidate that was probably meant: the nearest, if a third of the name's letters or fewer
// (two in a short name) would have to change.
std::optional<std::string> probably_meant(std::string_view name,
                                          std::span<const std::string> candidates);

}  // namespace forerun
