#include "base/log.h"

#include <gtest/gtest.h>

namespace forerun {
namespace {

TEST(Log, TextIsForPeople) {
  EXPECT_EQ(log_line(LogFormat::kText, LogLevel::kInfo, "ready", {}), "ready");
  EXPECT_EQ(log_line(LogFormat::kText, LogLevel::kWarning, "client fell behind",
                     {{"request", "3f2a"}, {"bytes", 17}, {"path", "/a b"}}),
            "warning: client fell behind (request 3f2a, bytes 17, path /a b)");
}

TEST(Log, TextStaysOnOneLineAndShowsWhereAValueEnds) {
  EXPECT_EQ(
      log_line(LogFormat::kText, LogLevel::kInfo, "e", {{"a", "x\ny\x1b[1m"}, {"b", "1), c"}}),
      "e (a \"x\\ny\\u001b[1m\", b \"1), c\")");
}

TEST(Log, JsonLinesParse) {
  const std::string line = "{" + log_line(LogFormat::kJson, LogLevel::kError, "handler failed",
                                          {{"error", "say \"{}\"\n\xff"}, {"status", 500}});
  const Json json = Json::parse(line);
  EXPECT_EQ(json["level"], "error");
  EXPECT_EQ(json["event"], "handler failed");
  EXPECT_EQ(json["error"], "say \"{}\"\n\xef\xbf\xbd");
  EXPECT_EQ(json["status"], 500);
}

TEST(Log, NamesAreChecked) {
  EXPECT_EQ(*parse_log_level("warning"), LogLevel::kWarning);
  EXPECT_EQ(*parse_log_format("json"), LogFormat::kJson);
  EXPECT_EQ(parse_log_level("loud").error().message,
            "the log level is debug, info, warning, error or off, not loud");
  EXPECT_FALSE(parse_log_format("xml").ok());
}

}  // namespace
}  // namespace forerun
