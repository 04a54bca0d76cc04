#pragma once

#include <cstdint>
#include <string>

namespace forerun {

// One line on standard error that is drawn over as work goes on; nothing at all when that is no
// terminal.
class ProgressLine final {
 public:
  ProgressLine(std::string what, uint64_t total_bytes);

  void update(uint64_t done_bytes);
  // Clears the line.
  void end();

 private:
  const std::string what_;
  const uint64_t total_bytes_;
  const bool on_terminal_;
  double last_drawn_ = 0;
  bool drawn_ = false;
};

}  // namespace forerun
