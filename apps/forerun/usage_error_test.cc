#include "usage_error.h"

#include <gtest/gtest.h>

namespace forerun {
namespace {

// What is told for `forerun <arguments>`; empty when they are right.
std::string told(std::vector<std::string> arguments) {
  CLI::App app("", "forerun");
  app.require_subcommand(1);
  CLI::App* generate = app.add_subcommand("generate");
  std::string text;
  generate->add_option("MODEL", text)->required();
  generate->add_option("-p,--prompt", text);
  int max_tokens = 0;
  generate->add_option("-n,--max-tokens", max_tokens);
  CLI::App* bench = app.add_subcommand("bench");
  bench->require_subcommand(1);
  bool json = false;
  bench->add_subcommand("engine")->add_flag("--json", json);
  std::ranges::reverse(arguments);
  try {
    app.parse(arguments);
  } catch (const CLI::ParseError& error) {
    const std::string lines = explain_usage_error(app, error);
    return lines.substr(0, lines.find('\n'));
  }
  return "";
}

TEST(ExplainUsageError, SuggestsOptions) {
  EXPECT_EQ(told({"generate", "m", "--prompt", "x"}), "");
  EXPECT_EQ(told({"generate", "m", "--prmopt", "x"}),
            "forerun generate: unknown option --prmopt; did you mean --prompt?");
  EXPECT_EQ(told({"generate", "m", "--promt=x"}),
            "forerun generate: unknown option --promt; did you mean --prompt?");
  EXPECT_EQ(told({"generate", "--promt", "x"}),
            "forerun generate: unknown option --promt; did you mean --prompt?");
  EXPECT_EQ(told({"generate", "m", "--temperature", "1"}),
            "forerun generate: unknown option --temperature");
  EXPECT_EQ(told({"bench", "engine", "--jsn"}),
            "forerun bench engine: unknown option --jsn; did you mean --json?");
}

TEST(ExplainUsageError, KnowsBeginningsAndTheNamesOfOtherEngines) {
  EXPECT_EQ(told({"generate", "m", "--max", "8"}),
            "forerun generate: unknown option --max; did you mean --max-tokens?");
  EXPECT_EQ(told({"generate", "m", "--n-predict", "8"}),
            "forerun generate: unknown option --n-predict; did you mean --max-tokens?");
  EXPECT_EQ(told({"bench", "engine", "--n-predict=8"}),
            "forerun bench engine: unknown option --n-predict");
}

TEST(ExplainUsageError, SuggestsCommands) {
  EXPECT_EQ(told({"genrate", "m"}), "forerun: unknown command genrate; did you mean generate?");
  EXPECT_EQ(told({"bench", "engin"}), "forerun bench: unknown command engin; did you mean engine?");
  EXPECT_EQ(told({"xyzzy"}), "forerun: unknown command xyzzy");
  EXPECT_EQ(told({"generate", "m", "n"}), "forerun generate: unexpected argument n");
}

TEST(ExplainUsageError, PassesOnWhatTheParserSays) {
  EXPECT_EQ(told({}), "forerun: A subcommand is required");
  EXPECT_EQ(told({"generate"}), "forerun generate: MODEL is required");
  EXPECT_TRUE(told({"generate", "m", "-p"}).starts_with("forerun generate: --prompt"));
}

}  // namespace
}  // namespace forerun
