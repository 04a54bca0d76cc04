#include "engine_bench_report.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <utility>

#include "formats/quote.h"
#include "machine.h"

namespace forerun {
namespace {

// Ceilings that differ by more than this share are told.
constexpr double kCeilingTolerance = 0.1;

[[gnu::format(printf, 1, 2)]] std::string formatted(const char* format, ...) {
  char text[256];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof(text), format, arguments);
  va_end(arguments);
  return text;
}

double number(const Json& entry, const char* key) {
  return entry[key].get<double>();
}
int whole(const Json& entry, const char* key) {
  return entry[key].get<int>();
}
double percent(const Json& entry, const char* key) {
  return 100.0 * number(entry, key);
}

std::string line_of(const std::string& list, const Json& e) {
  if (list == "prefill") {
    return formatted("prefill  %5d tokens          %8.1f tok/s  %5.1f %% of %s", whole(e, "tokens"),
                     number(e, "tok_s"), percent(e, "fraction"),
                     e["ceiling"].get<std::string>().c_str());
  }
  if (list == "decode") {
    return formatted("decode   batch %2d  depth %5d  %8.1f tok/s  %5.1f GB/s  %5.1f %% of read",
                     whole(e, "batch"), whole(e, "depth"), number(e, "tok_s"), number(e, "gb_s"),
                     percent(e, "fraction"));
  }
  if (list == "verify") {
    return formatted("verify   %2d tokens depth %5d  %8.2f ms  %5.2f x one  %5.2f x bytes at 75 %%",
                     whole(e, "tokens"), whole(e, "depth"), number(e, "ms"),
                     number(e, "ratio_to_1"), number(e, "ratio_to_bytes_at_75_percent"));
  }
  return formatted("engine   batch %2d               %8.1f tok/s  %5.1f GB/s  %5.1f %% of read",
                   whole(e, "batch"), number(e, "tok_s"), number(e, "gb_s"),
                   percent(e, "fraction"));
}

std::string profile_line(const Json& profile) {
  std::string line = "         ";
  for (const auto& [part, share] : profile.items()) {
    line += formatted(" %s %.0f%%", part.c_str(), 100.0 * share.get<double>());
  }
  return line;
}

}  // namespace

EngineBenchReport::EngineBenchReport(Json facts, size_t num_parts, bool json)
    : document_(std::move(facts)), json_(json), progress_("measuring", num_parts, "figures") {
  if (!json_) print_head();
}

void EngineBenchReport::begin_part(const std::string& name) {
  progress_.update(parts_begun_++, name);
}

void EngineBenchReport::set(const std::string& key, Json value) {
  document_[key] = std::move(value);
  const Json& set = document_[key];
  if (json_ || key != "ceiling") return;
  std::string line = formatted("ceiling  read %.1f GB/s, int8 %.2f TOPS", number(set, "read_gb_s"),
                               number(set, "int8_tops"));
  if (set.contains("bf16_tflops")) {
    line += formatted(", bf16 %.2f TFLOPS", number(set, "bf16_tflops"));
  }
  print(line);
}

void EngineBenchReport::add(const std::string& list, Json entry) {
  if (!json_) print_entry(list, entry);
  document_[list].push_back(std::move(entry));
}

Status EngineBenchReport::end() {
  progress_.end();
  document_["load_average"]["after"] = load_average();
  if (json_) {
    print(document_.dump(2, ' ', false, Json::error_handler_t::replace));
  } else {
    print_doubts();
  }
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return {};
  return Error{"cannot write the figures"};
}

void EngineBenchReport::print(const std::string& line) {
  progress_.end();
  std::puts(line.c_str());
  std::fflush(stdout);
}

void EngineBenchReport::print_head() {
  const Json& memory = document_["memory"];
  print(formatted("%s on %s, %s, keys and values %s, %d threads, commit %s",
                  quote(document_["model"].get<std::string>()).c_str(),
                  document_["machine"]["processor"].get<std::string>().c_str(),
                  document_["isa"].get<std::string>().c_str(),
                  document_["kv_type"].get<std::string>().c_str(), whole(document_, "threads"),
                  document_["commit"].get<std::string>().c_str()));
  print(formatted("load     %.2f s, first token after %.2f s", number(document_["load"], "seconds"),
                  number(document_["load"], "first_token_seconds")));
  print(formatted(
      "memory   %.1f MB anonymous, of it %.1f MB packed weights; %.1f MB reserved for keys and "
      "values",
      number(memory, "rss_anon_bytes") / 1e6, number(memory, "packed_weight_bytes") / 1e6,
      number(memory, "kv_pool_bytes") / 1e6));
  print(formatted("idle     %.2f %% of a processor", percent(document_, "idle_processor_share")));
}

void EngineBenchReport::print_entry(const std::string& list, const Json& entry) {
  print(line_of(list, entry));
  if (entry.contains("profile")) print(profile_line(entry["profile"]));
}

void EngineBenchReport::print_doubts() {
  double lowest = number(document_["ceiling"], "read_gb_s");
  double highest = lowest;
  for (const char* list : {"decode", "verify", "engine"}) {
    for (const Json& entry : document_[list]) {
      lowest = std::min(lowest, number(entry, "ceiling_gb_s"));
      highest = std::max(highest, number(entry, "ceiling_gb_s"));
    }
  }
  if (highest <= (1.0 + kCeilingTolerance) * lowest) return;
  print(
      formatted("note     the read ceiling was between %.1f and %.1f GB/s: a shared machine; "
                "fractions are of the one just before",
                lowest, highest));
}

}  // namespace forerun
