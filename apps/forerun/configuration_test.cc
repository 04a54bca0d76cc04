#include "configuration.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "formats/temporary_folder.h"

namespace forerun {
namespace {

// A command with an option of each kind.
struct Command {
  CLI::App app{"", "forerun"};
  CLI::App* serve = app.add_subcommand("serve");
  std::string model;
  int port = 8000;
  std::vector<std::string> keys;
  bool share = false;

  Command() {
    serve->add_option("MODEL", model);
    serve->add_option("--port", port)->check(CLI::Range(0, 65535));
    serve->add_option("--api-key", keys)->delimiter(',')->allow_extra_args(false);
    serve->add_flag("--share-prefix", share);
    serve->add_option("--config");
    take_from_environment(*serve);
  }

  // What was wrong, or nothing.
  std::string read(std::vector<std::string> arguments, const std::string& yaml) {
    const TemporaryFolder folder;
    const std::string path = folder.path() + "/serve.yaml";
    std::ofstream(path) << yaml;
    arguments.insert(arguments.begin(), "serve");
    std::ranges::reverse(arguments);
    app.parse(arguments);
    const Status status = take_from_file(*serve, path);
    return status.ok() ? "" : status.error().message.substr(path.size());
  }
};

// Sets a variable for as long as it lives.
class Variable final {
 public:
  Variable(const char* name, const char* value) : name_(name) { setenv(name, value, 1); }
  ~Variable() { unsetenv(name_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
};

TEST(Configuration, FileGivesEveryKindOfOption) {
  Command command;
  EXPECT_EQ(command.read({},
                         "model: smollm2-135m\nport: 9000\napi_key: [one, two]\n"
                         "share-prefix: true\n"),
            "");
  EXPECT_EQ(command.model, "smollm2-135m");
  EXPECT_EQ(command.port, 9000);
  EXPECT_EQ(command.keys, (std::vector<std::string>{"one", "two"}));
  EXPECT_TRUE(command.share);
}

TEST(Configuration, ArgumentsBeforeEnvironmentBeforeFile) {
  const Variable port("FORERUN_PORT", "1");
  const Variable keys("FORERUN_API_KEY", "a,b");
  Command by_environment;
  EXPECT_EQ(by_environment.read({}, "port: 2\napi-key: c\n"), "");
  EXPECT_EQ(by_environment.port, 1);
  EXPECT_EQ(by_environment.keys, (std::vector<std::string>{"a", "b"}));
  Command by_argument;
  EXPECT_EQ(by_argument.read({"--port", "3"}, "port: 2\n"), "");
  EXPECT_EQ(by_argument.port, 3);
}

TEST(Configuration, FaultsNameLineAndKey) {
  EXPECT_EQ(Command().read({}, "port: 1\n\nprot: 2\n"),
            ", line 3: there is no setting 'prot'; did you mean port?");
  EXPECT_NE(Command().read({}, "port: 70000\n").find(", line 1: --port: "), std::string::npos);
  EXPECT_EQ(Command().read({}, "port: [1, 2]\n"), ", line 1: port takes one value, not a list");
  EXPECT_EQ(Command().read({}, "port: {a: 1}\n"), ", line 1: port takes a value or a list of them");
  EXPECT_EQ(Command().read({}, "- 1\n"), ": it must hold lines of the form `name: value`");
  EXPECT_NE(Command().read({}, "port: \"1\n").find("line "), std::string::npos);
  EXPECT_NE(Command().read({}, "config: x\n").find("no setting 'config'"), std::string::npos);
}

TEST(Configuration, AnEmptyFileSaysNothing) {
  EXPECT_EQ(Command().read({}, "# nothing\n"), "");
}

}  // namespace
}  // namespace forerun
