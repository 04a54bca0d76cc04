#include "machine.h"

#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <map>
#include <string_view>
#include <thread>

#include "base/memory.h"

namespace forerun {
namespace {

std::string without_blanks(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t");
  const size_t end = text.find_last_not_of(" \t");
  return begin == std::string_view::npos ? "" : std::string(text.substr(begin, end - begin + 1));
}

// "name : value" lines, up to the first empty one.
std::map<std::string, std::string> read_fields(const char* path) {
  std::map<std::string, std::string> fields;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line) && !line.empty();) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    fields.emplace(without_blanks(std::string_view(line).substr(0, colon)),
                   without_blanks(std::string_view(line).substr(colon + 1)));
  }
  return fields;
}

// The word in brackets: "always [madvise] never".
std::string large_page_policy() {
  std::ifstream file("/sys/kernel/mm/transparent_hugepage/enabled");
  std::string line;
  std::getline(file, line);
  const size_t begin = line.find('[');
  const size_t end = line.find(']');
  return end == std::string::npos ? "unknown" : line.substr(begin + 1, end - begin - 1);
}

double processor_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

}  // namespace

std::string processor_name() {
  std::map<std::string, std::string> fields = read_fields("/proc/cpuinfo");
  std::string name = fields["model name"].empty() ? "unknown processor" : fields["model name"];
  if (!fields["cpu family"].empty()) {
    name += " family " + fields["cpu family"] + " model " + fields["model"];
  }
  return name;
}

Json machine_facts() {
  utsname system{};
  uname(&system);
  return {{"processor", processor_name()},
          {"processors", sysconf(_SC_NPROCESSORS_ONLN)},
          {"usable_processors", usable_processors()},
          {"memory_bytes", machine_memory_bytes()},
          {"large_pages", large_page_policy()},
          {"system", std::string(system.sysname) + " " + system.release}};
}

int64_t resident_anonymous_bytes() {
  // "123 kB"
  return 1024 * std::strtoll(read_fields("/proc/self/status")["RssAnon"].c_str(), nullptr, 10);
}

double load_average() {
  double average = 0.0;
  return getloadavg(&average, 1) == 1 ? average : 0.0;
}

double idle_processor_share(double seconds) {
  const double before = processor_seconds();
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  return (processor_seconds() - before) / seconds;
}

}  // namespace forerun
