#pragma once

#include <map>
#include <string>
#include <vector>

namespace forerun {

// What a text of Prometheus' format 0.0.4 says, for tests. The parser takes nothing that the format
// does not allow, and wants what this server promises beside it: HELP and TYPE before every family,
// no family twice, no series twice, buckets that add up.
struct Exposition {
  struct Sample {
    std::string name;  // with _bucket, _sum, _count
    std::map<std::string, std::string> labels;
    double value = 0.0;
  };
  struct Family {
    std::string type;
    std::string help;
    std::vector<Sample> samples;
  };
  std::map<std::string, Family> families;
  std::vector<std::string> faults;  // sentences that name the line

  // The value of the one series of that name with these labels among its own; NaN: none or several.
  double value(const std::string& name,
               const std::map<std::string, std::string>& labels = {}) const;
};

Exposition parse_exposition(const std::string& text);

}  // namespace forerun
