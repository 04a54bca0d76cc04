#include "server/process_figures.h"

#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <system_error>

namespace forerun {
namespace {

using prometheus::MetricFamily;
using prometheus::MetricType;

MetricFamily family(const char* name, const char* help, MetricType type, double value) {
  prometheus::ClientMetric metric;
  metric.gauge.value = value;
  metric.counter.value = value;
  return {name, help, type, {metric}};
}

double processor_seconds() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

std::optional<double> resident_bytes() {
  std::ifstream file("/proc/self/statm");
  int64_t whole = 0;
  int64_t resident = 0;
  if (!(file >> whole >> resident)) return std::nullopt;
  return static_cast<double>(resident) * static_cast<double>(sysconf(_SC_PAGESIZE));
}

std::optional<double> open_files() {
  std::error_code error;
  double count = 0.0;
  std::filesystem::directory_iterator file("/proc/self/fd", error);
  for (; !error && file != std::filesystem::directory_iterator(); file.increment(error)) ++count;
  if (error) return std::nullopt;
  return count;
}

// When this program's globals were made, which is close enough to its start.
const double kStarted =
    std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();

}  // namespace

std::vector<MetricFamily> process_figures() {
  std::vector<MetricFamily> families = {
      family("process_cpu_seconds_total", "Processor time used.", MetricType::Counter,
             processor_seconds()),
      family("process_start_time_seconds", "When it started, in Unix time.", MetricType::Gauge,
             kStarted)};
  if (const auto bytes = resident_bytes()) {
    families.push_back(family("process_resident_memory_bytes", "Memory that is in RAM.",
                              MetricType::Gauge, *bytes));
  }
  if (const auto files = open_files()) {
    families.push_back(
        family("process_open_fds", "File descriptors in use.", MetricType::Gauge, *files));
  }
  return families;
}

}  // namespace forerun
