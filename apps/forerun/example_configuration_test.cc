#include <gtest/gtest.h>

#include <cstdlib>

#include "serve_options.h"

namespace forerun {
namespace {

TEST(ExampleConfiguration, IsTaken) {
  CLI::App app("", "forerun");
  CLI::App* serve = app.add_subcommand("serve");
  ServeOptions options;
  options.server.port = 1;
  add_serve_options(*serve, options);
  app.parse(std::string("serve --config " FORERUN_SOURCE_DIR "/packaging/config.yaml"));
  const Status status = complete_serve_options(*serve, options);
  ASSERT_TRUE(status.ok()) << status.error().message;
  EXPECT_EQ(options.model, "smollm2-135m");
  EXPECT_EQ(options.server.port, 8000);
  EXPECT_EQ(options.server.host, "127.0.0.1");
  EXPECT_EQ(options.log_format, LogFormat::kJson);
}

}  // namespace
}  // namespace forerun
