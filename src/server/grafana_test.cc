#include <gtest/gtest.h>

#include <regex>
#include <set>
#include <string>

#include "base/json.h"
#include "server/exposition.h"
#include "server/learning_fixture.h"
#include "server/metrics.h"

namespace forerun {
namespace {

constexpr char kPrefix[] = "${prefix}";

// Every name a PromQL expression asks for: what stands before a selector's brace.
std::set<std::string> metrics_of(std::string expression, const std::string& prefix) {
  for (size_t at; (at = expression.find(kPrefix)) != std::string::npos;) {
    expression.replace(at, sizeof kPrefix - 1, prefix);
  }
  std::set<std::string> names;
  const std::regex selector("([a-zA-Z_:][a-zA-Z0-9_:]*)[{]");
  for (std::sregex_iterator match(expression.begin(), expression.end(), selector), end;
       match != end; ++match) {
    names.insert((*match)[1]);
  }
  return names;
}

TEST(Grafana, TheBoardAsksForMetricsThatThereAre) {
  const Result<Json> board = read_json_file(FORERUN_SOURCE_DIR "/packaging/grafana.json");
  ASSERT_TRUE(board.ok()) << board.error().message;
  for (const std::string prefix : {"vllm", "forerun"}) {
    Metrics metrics(prefix, "tiny");
    const FakeLearning learning;
    metrics.add_learning(learning);
    metrics.count_http("GET", "/metrics", 200);
    std::set<std::string> known;
    const Exposition exposition = parse_exposition(metrics.scrape({}));
    for (const auto& [name, family] : exposition.families) {
      for (const Exposition::Sample& sample : family.samples) known.insert(sample.name);
    }
    std::set<std::string> asked;
    for (const Json& panel : (*board)["panels"]) {
      for (const Json& target : panel["targets"]) {
        const std::set<std::string> names = metrics_of(target["expr"], prefix);
        EXPECT_FALSE(names.empty()) << target["expr"];
        asked.insert(names.begin(), names.end());
      }
    }
    EXPECT_GE(asked.size(), 30u);
    for (const std::string& name : asked) EXPECT_EQ(known.count(name), 1u) << name;
  }
}

}  // namespace
}  // namespace forerun
