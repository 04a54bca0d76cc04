#include "progress_line.h"

#include <gtest/gtest.h>

namespace forerun {
namespace {

TEST(ProgressText, TellsBytesAndThings) {
  EXPECT_EQ(progress_text("loading", 1'500'000, 3'000'000, "", 0.1),
            "loading [##########..........] 1.5 MB of 3.0 MB");
  EXPECT_EQ(progress_text("scoring", 0, 521, "windows", 0.1),
            "scoring [....................] 0 of 521 windows");
  EXPECT_EQ(progress_text("scoring", 521, 521, "windows", 90.0, "perplexity 24.02"),
            "scoring [####################] 521 of 521 windows, perplexity 24.02");
}

TEST(ProgressText, GuessesWhatIsLeftOnceItCan) {
  EXPECT_EQ(progress_text("scoring", 10, 40, "windows", 1.0),
            "scoring [#####...............] 10 of 40 windows");
  EXPECT_EQ(progress_text("scoring", 10, 40, "windows", 30.0),
            "scoring [#####...............] 10 of 40 windows, 1:30 left");
  EXPECT_EQ(progress_text("scoring", 39, 40, "windows", 78.0),
            "scoring [###################.] 39 of 40 windows, 0:02 left");
}

}  // namespace
}  // namespace forerun
