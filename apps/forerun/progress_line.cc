#include "progress_line.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>

#include "base/clock.h"
#include "readable_bytes.h"

namespace forerun {
namespace {

// Before this, and before this share is done, what is left is anybody's guess.
constexpr double kSecondsBeforeGuessing = 2.0;
constexpr double kShareBeforeGuessing = 0.02;

// "1:05"
std::string minutes(double seconds) {
  const auto whole = static_cast<uint64_t>(std::llround(seconds));
  const std::string rest = std::to_string(whole % 60);
  return std::to_string(whole / 60) + ":" + (rest.size() < 2 ? "0" : "") + rest;
}

}  // namespace

std::string progress_text(std::string_view what, uint64_t done, uint64_t total,
                          std::string_view things, double seconds, std::string_view note) {
  constexpr uint64_t kBarCells = 20;
  const double share = static_cast<double>(done) / static_cast<double>(total);
  const uint64_t filled = std::min(kBarCells, done * kBarCells / total);
  std::string text(what);
  text += " [" + std::string(filled, '#') + std::string(kBarCells - filled, '.') + "] ";
  text += things.empty() ? readable_bytes(done) + " of " + readable_bytes(total)
                         : std::to_string(done) + " of " + std::to_string(total) + " ";
  text += things;
  if (!note.empty()) text += ", " + std::string(note);
  if (seconds > kSecondsBeforeGuessing && share > kShareBeforeGuessing && share < 1.0) {
    text += ", " + minutes(seconds * (1.0 - share) / share) + " left";
  }
  return text;
}

ProgressLine::ProgressLine(std::string what, uint64_t total, std::string things)
    : what_(std::move(what)),
      total_(std::max<uint64_t>(total, 1)),
      things_(std::move(things)),
      on_terminal_(isatty(STDERR_FILENO) != 0),
      begin_(now_seconds()) {}

void ProgressLine::update(uint64_t done, std::string_view note) {
  constexpr double kSecondsBetweenDraws = 0.05;
  const double now = now_seconds();
  if (!on_terminal_ || now - last_drawn_ < kSecondsBetweenDraws) return;
  last_drawn_ = now;
  drawn_ = true;
  std::fprintf(stderr, "\r%s\033[K",
               progress_text(what_, done, total_, things_, now - begin_, note).c_str());
}

void ProgressLine::end() {
  if (drawn_) std::fputs("\r\033[K", stderr);
  drawn_ = false;
}

}  // namespace forerun
