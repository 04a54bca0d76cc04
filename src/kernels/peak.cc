#include "kernels/peak.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <vector>

#include "base/check.h"
#include "base/clock.h"
#include "kernels/cpu/peak_loops.h"

namespace forerun {
namespace {

PeakLoop dot_loop(Isa isa) {
  switch (isa) {
    case Isa::kGeneric:
      return dot_loop_generic;
    case Isa::kAvx2:
      return dot_loop_avx2;
    case Isa::kAvx512:
      return dot_loop_avx512;
    case Isa::kAvx512Vnni:
      return dot_loop_vnni;
    case Isa::kAmx:
      return dot_loop_amx;
  }
  CHECK(false, "unknown instruction set");
}

PeakLoop bf16_loop(Isa isa) {
  if (isa == Isa::kAmx) return bf16_loop_amx;
  return isa == Isa::kAvx512Vnni && has_bf16_dot() ? bf16_loop_vector : nullptr;
}

double measure_gmacs(PeakLoop loop, Team& team) {
  constexpr int kRepetitions = 5;
  constexpr int64_t kIterations = 2'000'000;
  std::vector<double> macs(team.size());
  double best = 0.0;
  for (int i = 0; i < kRepetitions; ++i) {
    const double begin = now_seconds();
    team.run([&](int member) { macs[member] = loop(kIterations); });
    const double seconds = now_seconds() - begin;
    double total = 0.0;
    for (const double m : macs) total += m;
    best = std::max(best, total / seconds / 1e9);
  }
  return best;
}

}  // namespace

double measure_int8_gmacs(Isa isa, Team& team) {
  return measure_gmacs(dot_loop(isa), team);
}

double measure_bf16_gmacs(Isa isa, Team& team) {
  const PeakLoop loop = bf16_loop(isa);
  return loop == nullptr ? 0.0 : measure_gmacs(loop, team);
}

ReadPeak::ReadPeak(Team& team) : team_(team), memory_(size_t{1} << 30) {
  const auto size = static_cast<int64_t>(memory_.size_bytes());
  team_.run([&](int member) {
    const Range mine = share_of(size, member, team_.size(), 4096);
    std::memset(memory_.data() + mine.begin, 1, mine.end - mine.begin);
  });
}

double ReadPeak::measure_gb_s() {
  constexpr int kRepetitions = 10;
  const auto size = static_cast<int64_t>(memory_.size_bytes());
  std::atomic<uint64_t> total{0};
  double best = 0.0;
  for (int i = 0; i < kRepetitions; ++i) {
    const double begin = now_seconds();
    team_.run([&](int member) {
      const Range mine = share_of(size, member, team_.size(), 4096);
      total += sum_words(memory_.as<uint64_t>() + mine.begin / 8, (mine.end - mine.begin) / 8);
    });
    best = std::max(best, static_cast<double>(size) / (now_seconds() - begin) / 1e9);
  }
  CHECK(total.load() == kRepetitions * static_cast<uint64_t>(size / 8) * 0x0101010101010101u,
        "memory was read wrong");
  return best;
}

}  // namespace forerun
