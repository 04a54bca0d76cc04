#include "formats/child_process.h"

#include <gtest/gtest.h>

namespace forerun {
namespace {

TEST(RunChild, GivesOutputErrorsAndStatus) {
  std::string output;
  ChildCommand command{
      {"sh", "-c", "printf \"$A-$1\"; echo oops >&2; exit 3", "sh", "a b;$(c)"}, {"A=value"}, {}};
  command.on_output = [&](std::span<const uint8_t> bytes) -> Status {
    output.append(bytes.begin(), bytes.end());
    return {};
  };
  const Result<ChildEnd> end = run_child(command);
  ASSERT_TRUE(end.ok()) << end.error().message;
  EXPECT_EQ(end->status, 3);
  EXPECT_EQ(end->errors, "oops\n");
  EXPECT_EQ(output, "value-a b;$(c)");
}

TEST(RunChild, SaysThatAProgramIsNotThere) {
  const Result<ChildEnd> end = run_child({{"no-such-program-anywhere"}, {}, {}});
  ASSERT_FALSE(end.ok());
  EXPECT_EQ(end.error().message, "no-such-program-anywhere is not installed");
}

TEST(RunChild, EndsAChildWhoseOutputIsRefused) {
  const Result<ChildEnd> end =
      run_child({{"sh", "-c", "while :; do echo endless; done"}, {}, [](auto) -> Status {
                   return Error{"enough"};
                 }});
  ASSERT_FALSE(end.ok());
  EXPECT_EQ(end.error().message, "enough");
}

TEST(RunChild, KeepsTheEndOfLongErrors) {
  const Result<ChildEnd> end =
      run_child({{"sh", "-c", "head -c 1000000 /dev/zero >&2; echo last >&2; kill -9 $$"}, {}, {}});
  ASSERT_TRUE(end.ok());
  EXPECT_EQ(end->status, 128 + 9);
  EXPECT_LT(end->errors.size(), 200'000u);
  EXPECT_TRUE(end->errors.ends_with("last\n"));
}

}  // namespace
}  // namespace forerun
