#include "progress_line.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "base/clock.h"
#include "readable_bytes.h"

namespace forerun {

ProgressLine::ProgressLine(std::string what, uint64_t total_bytes)
    : what_(std::move(what)),
      total_bytes_(std::max<uint64_t>(total_bytes, 1)),
      on_terminal_(isatty(STDERR_FILENO) != 0) {}

void ProgressLine::update(uint64_t done_bytes) {
  constexpr double kSecondsBetweenDraws = 0.05;
  constexpr uint64_t kBarCells = 30;
  if (!on_terminal_ || now_seconds() - last_drawn_ < kSecondsBetweenDraws) return;
  last_drawn_ = now_seconds();
  drawn_ = true;
  const uint64_t filled = std::min(kBarCells, done_bytes * kBarCells / total_bytes_);
  const std::string bar = std::string(filled, '#') + std::string(kBarCells - filled, '.');
  std::fprintf(stderr, "\r%s [%s] %s of %s\033[K", what_.c_str(), bar.c_str(),
               readable_bytes(done_bytes).c_str(), readable_bytes(total_bytes_).c_str());
}

void ProgressLine::end() {
  if (drawn_) std::fputs("\r\033[K", stderr);
  drawn_ = false;
}

}  // namespace forerun
