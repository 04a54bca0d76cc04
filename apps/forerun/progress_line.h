#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace forerun {

// One line on standard error that is drawn over as work goes on; nothing at all when that is no
// terminal.
class ProgressLine final {
 public:
  // `total` things, called by their plural; with no name for them, bytes.
  ProgressLine(std::string what, uint64_t total, std::string things = "");

  // `note` is what is being done now, or found so far.
  void update(uint64_t done, std::string_view note = {});
  // Clears the line.
  void end();

 private:
  const std::string what_;
  const uint64_t total_;
  const std::string things_;
  const bool on_terminal_;
  const double begin_;
  double last_drawn_ = 0;
  bool drawn_ = false;
};

// What the line says after `seconds`: "scoring [####......] 12 of 30 windows, 1:05 left".
std::string progress_text(std::string_view what, uint64_t done, uint64_t total,
                          std::string_view things, double seconds, std::string_view note = {});

}  // namespace forerun
