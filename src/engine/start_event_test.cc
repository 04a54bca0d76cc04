#include <gtest/gtest.h>

#include <algorithm>

#include "engine/engine_fixture.h"

namespace forerun {
namespace {

// Notes starts and tokens in the order they come.
Request noting(std::vector<std::string>& told, int length, uint32_t stream) {
  Request request;
  request.prompt = random_tokens(length, 320, stream);
  request.max_tokens = 100;
  request.ignore_eos = true;
  request.on_start = [&told](const StartEvent& event) {
    told.push_back("start " + std::to_string(event.request) + " " +
                   std::to_string(event.prompt_tokens) + " " + std::to_string(event.cached_tokens));
  };
  request.on_token = [&told](const TokenEvent&) { told.emplace_back("token"); };
  return request;
}

int64_t starts(const std::vector<std::string>& told) {
  return std::count_if(told.begin(), told.end(),
                       [](const std::string& line) { return line.starts_with("start"); });
}

TEST(StartEvent, ComesOnceBeforeARequestsTokens) {
  RecordedEngine recorded(tiny_model(), available_isas().back(), /*num_threads=*/1, tiny_options());
  std::vector<std::string> told;
  Request request = noting(told, 70, 1);
  request.n = 3;
  recorded.add(request);
  recorded.finish_all();
  EXPECT_EQ(told[0], "start 1 70 0");
  EXPECT_EQ(starts(told), 1);
  told.clear();
  recorded.add(request);
  recorded.finish_all();
  EXPECT_EQ(told[0], "start 2 70 64") << "two pages of the prompt are cached";
}

TEST(StartEvent, ComesOnceHoweverOftenARequestIsPreempted) {
  EngineOptions options = tiny_options();
  options.kv_tokens = 6 * 32;
  RecordedEngine recorded(tiny_model(), available_isas().back(), /*num_threads=*/1, options);
  std::vector<std::string> told;
  for (uint32_t i = 0; i < 3; ++i) recorded.add(noting(told, 40, i));
  recorded.finish_all();
  EXPECT_GT(recorded.stats().preemptions, 0);
  EXPECT_EQ(starts(told), 3);
}

TEST(StartEvent, DoesNotComeWhereARequestEndsWaiting) {
  EngineOptions options = tiny_options();
  options.max_sequences = 1;
  RecordedEngine recorded(tiny_model(), available_isas().back(), /*num_threads=*/1, options);
  std::vector<std::string> told;
  std::vector<std::string> told_waiting;
  recorded.add(noting(told, 40, 0));
  const RequestId waiting = recorded.add(noting(told_waiting, 40, 1));
  recorded.engine().step();
  recorded.engine().cancel(waiting);
  recorded.finish_all();
  EXPECT_TRUE(told_waiting.empty());
}

TEST(StartEvent, MayAddRequests) {
  RecordedEngine recorded(tiny_model(), available_isas().back(), /*num_threads=*/1, tiny_options());
  std::vector<std::string> told;
  Request request = noting(told, 40, 0);
  request.on_start = [&](const StartEvent&) {
    for (uint32_t i = 1; i < 20; ++i) recorded.add(noting(told, 40, i));
  };
  recorded.add(std::move(request));
  recorded.finish_all();
  EXPECT_EQ(starts(told), 19);
}

}  // namespace
}  // namespace forerun
