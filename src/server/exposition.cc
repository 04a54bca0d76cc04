#include "server/exposition.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <regex>
#include <set>
#include <sstream>
#include <utility>

namespace forerun {
namespace {

using Labels = std::map<std::string, std::string>;

const char kNamePattern[] = "[a-zA-Z_:][a-zA-Z0-9_:]*";

// {a="b",c="d"} after its opening brace; moves `at` behind the closing one.
std::optional<Labels> parse_labels(const std::string& line, size_t& at) {
  Labels labels;
  while (at < line.size() && line[at] != '}') {
    const size_t equals = line.find("=\"", at);
    if (equals == std::string::npos) return std::nullopt;
    const std::string name = line.substr(at, equals - at);
    if (!std::regex_match(name, std::regex("[a-zA-Z_][a-zA-Z0-9_]*"))) return std::nullopt;
    std::string value;
    for (at = equals + 2; at < line.size() && line[at] != '"'; ++at) {
      if (line[at] != '\\') {
        value += line[at];
        continue;
      }
      if (++at == line.size()) return std::nullopt;
      if (line[at] != '\\' && line[at] != '"' && line[at] != 'n') return std::nullopt;
      value += line[at] == 'n' ? '\n' : line[at];
    }
    if (at == line.size() || !labels.emplace(name, value).second) return std::nullopt;
    ++at;
    if (at < line.size() && line[at] == ',') ++at;
  }
  if (at == line.size()) return std::nullopt;
  ++at;
  return labels;
}

std::optional<double> parse_value(const std::string& text) {
  if (text == "+Inf") return std::numeric_limits<double>::infinity();
  if (!std::regex_match(text, std::regex("[-+]?([0-9]+([.][0-9]*)?)([eE][-+]?[0-9]+)?"))) {
    return std::nullopt;
  }
  return std::stod(text);
}

std::optional<Exposition::Sample> parse_sample(const std::string& line) {
  std::smatch match;
  if (!std::regex_search(line, match, std::regex(std::string("^") + kNamePattern))) {
    return std::nullopt;
  }
  Exposition::Sample sample;
  sample.name = match.str();
  size_t at = sample.name.size();
  if (at < line.size() && line[at] == '{') {
    std::optional<Labels> labels = parse_labels(line, ++at);
    if (!labels) return std::nullopt;
    sample.labels = *std::move(labels);
  }
  if (at >= line.size() || line[at] != ' ') return std::nullopt;
  const std::optional<double> value = parse_value(line.substr(at + 1));
  if (!value) return std::nullopt;
  sample.value = *value;
  return sample;
}

// Whether a family of this name and type may have such a sample.
bool belongs(const Exposition::Sample& sample, const std::string& family, const std::string& type) {
  if (type != "histogram") return sample.name == family;
  const bool has_bound = sample.labels.count("le") == 1;
  if (sample.name == family + "_bucket") return has_bound;
  return !has_bound && (sample.name == family + "_sum" || sample.name == family + "_count");
}

// Buckets rise, in bounds and in counts, up to +Inf, which is the count.
void check_histogram(const std::string& name, const Exposition::Family& family,
                     std::vector<std::string>& faults) {
  std::map<Labels, std::vector<std::pair<double, double>>> buckets;
  std::map<Labels, double> counts;
  for (const Exposition::Sample& sample : family.samples) {
    Labels labels = sample.labels;
    if (sample.name == name + "_count") counts[labels] = sample.value;
    if (sample.name != name + "_bucket") continue;
    const double bound = parse_value(labels["le"]).value_or(std::nan(""));
    labels.erase("le");
    buckets[labels].emplace_back(bound, sample.value);
  }
  if (counts.empty() || counts.size() != buckets.size()) faults.push_back(name + " lacks a count");
  for (const auto& [labels, rising] : buckets) {
    for (size_t i = 1; i < rising.size(); ++i) {
      if (!(rising[i].first > rising[i - 1].first && rising[i].second >= rising[i - 1].second)) {
        faults.push_back(name + "'s buckets do not rise");
      }
    }
    if (!std::isinf(rising.back().first) || rising.back().second != counts[labels]) {
      faults.push_back(name + " has no +Inf bucket that holds all");
    }
  }
}

}  // namespace

double Exposition::value(const std::string& name, const Labels& labels) const {
  double found = std::nan("");
  int hits = 0;
  for (const auto& [family_name, family] : families) {
    for (const Sample& sample : family.samples) {
      const bool same = std::all_of(labels.begin(), labels.end(), [&](const auto& label) {
        const auto own = sample.labels.find(label.first);
        return own != sample.labels.end() && own->second == label.second;
      });
      if (sample.name != name || !same) continue;
      found = sample.value;
      ++hits;
    }
  }
  return hits == 1 ? found : std::nan("");
}

Exposition parse_exposition(const std::string& text) {
  Exposition exposition;
  std::vector<std::string>& faults = exposition.faults;
  if (text.empty() || text.back() != '\n') faults.emplace_back("the text does not end its line");
  const std::regex comment(std::string("# (HELP|TYPE) (") + kNamePattern + ") (.*)");
  const std::set<std::string> types = {"counter", "gauge", "histogram", "summary", "untyped"};
  std::set<std::pair<std::string, Labels>> series;
  std::string helped;
  std::string current;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::smatch match;
    if (std::regex_match(line, match, comment) && match[1] == "HELP") {
      helped = match[2];
      if (exposition.families.count(helped) != 0) faults.push_back("a second time: " + line);
      exposition.families[helped].help = match[3];
      continue;
    }
    if (std::regex_match(line, match, comment)) {
      current = match[2];
      if (current != helped || types.count(match[3]) == 0) faults.push_back("a bad TYPE: " + line);
      exposition.families[current].type = match[3];
      continue;
    }
    const std::optional<Exposition::Sample> sample = parse_sample(line);
    if (!sample) {
      faults.push_back("not a sample: " + line);
      continue;
    }
    Exposition::Family& family = exposition.families[current];
    if (!belongs(*sample, current, family.type)) faults.push_back("in the wrong family: " + line);
    if (!series.emplace(sample->name, sample->labels).second) faults.push_back("twice: " + line);
    if (family.type == "counter" && !(sample->value >= 0.0))
      faults.push_back("below zero: " + line);
    family.samples.push_back(*sample);
  }
  for (const auto& [name, family] : exposition.families) {
    if (family.type.empty() || family.help.empty() || family.samples.empty()) {
      faults.push_back(name + " lacks a type, a help or a sample");
    }
    if (family.type == "histogram") check_histogram(name, family, faults);
  }
  return exposition;
}

}  // namespace forerun
