#include "online/learning.h"

#include <array>

namespace forerun {

std::string_view starved_name(Starved starved) {
  constexpr std::array<std::string_view, 3> kNames = {"nobody", "learning", "traffic"};
  return kNames[static_cast<size_t>(starved)];
}

}  // namespace forerun
