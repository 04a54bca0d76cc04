#include "online/trace_record.h"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <string>
#include <vector>

namespace forerun {
namespace {

constexpr int64_t kTokens = 5, kStates = 3, kWidth = 4;

// A record whose tokens are 0, 1, …; whose states are 100 … and finals 1000 …
std::vector<uint64_t> make_record(const std::function<void(TraceHeader&)>& change = nullptr) {
  const TraceLayout layout = trace_layout(kTokens, kStates, kWidth);
  std::vector<uint64_t> memory(static_cast<size_t>(layout.end) / sizeof(uint64_t));
  auto* bytes = reinterpret_cast<uint8_t*>(memory.data());
  TraceHeader header;
  header.bytes = static_cast<uint64_t>(layout.end);
  header.num_tokens = kTokens;
  header.prompt_tokens = 2;
  header.first_state = 1;
  header.num_states = kStates;
  header.d_model = kWidth;
  if (change) change(header);
  std::memcpy(bytes, &header, sizeof(header));
  auto* tokens = reinterpret_cast<int32_t*>(bytes + layout.tokens);
  for (int i = 0; i < kTokens; ++i) tokens[i] = i;
  auto* states = reinterpret_cast<uint16_t*>(bytes + layout.states);
  for (int i = 0; i < 3 * kStates * kWidth; ++i) states[i] = static_cast<uint16_t>(100 + i);
  auto* finals = reinterpret_cast<uint16_t*>(bytes + layout.finals);
  for (int i = 0; i < kStates * kWidth; ++i) finals[i] = static_cast<uint16_t>(1000 + i);
  return memory;
}

Result<TraceRecord> parse(const std::vector<uint64_t>& memory, size_t cut = 0) {
  return parse_trace(
      {reinterpret_cast<const uint8_t*>(memory.data()), memory.size() * sizeof(uint64_t) - cut});
}

TEST(TraceRecord, TellsItsParts) {
  const std::vector<uint64_t> memory = make_record();
  const Result<TraceRecord> record = parse(memory);
  ASSERT_TRUE(record.ok()) << record.error().message;
  EXPECT_EQ(record->tokens.size(), 5u);
  EXPECT_EQ(record->tokens[4], 4);
  EXPECT_EQ(record->states.size(), 36u);
  EXPECT_EQ(record->states_at(2)[0], 112);
  EXPECT_EQ(record->finals.size(), 12u);
  EXPECT_EQ(record->finals[11], 1011);
}

TEST(TraceRecord, RefusesWhatNoWriterLeaves) {
  struct Case {
    std::function<void(TraceHeader&)> change;
    const char* said;
  };
  const Case cases[] = {
      {[](TraceHeader& h) { h.magic = 7; }, "does not begin"},
      {[](TraceHeader& h) { h.version = 1; }, "version 1"},
      {[](TraceHeader& h) { h.bytes += 64; }, "length"},
      {[](TraceHeader& h) { h.d_model = 0; }, "state of 0"},
      {[](TraceHeader& h) { h.d_model = int64_t{1} << 40; }, "state of"},
      {[](TraceHeader& h) { h.num_tokens = -1; }, "-1 tokens"},
      {[](TraceHeader& h) { h.prompt_tokens = 6; }, "prompt"},
      {[](TraceHeader& h) { h.first_state = 3; }, "positions"},
      {[](TraceHeader& h) { h.first_state = -1; }, "positions"},
      {[](TraceHeader& h) { h.num_states = int64_t{1} << 62; }, "positions"},
      {[](TraceHeader& h) { h.num_states = 2; }, "does not follow"},
  };
  for (const Case& one : cases) {
    const Result<TraceRecord> record = parse(make_record(one.change));
    ASSERT_FALSE(record.ok()) << one.said;
    EXPECT_NE(record.error().message.find(one.said), std::string::npos) << record.error().message;
  }
  EXPECT_FALSE(parse(make_record(), /*cut=*/64).ok());
  EXPECT_FALSE(parse_trace({}).ok());
}

}  // namespace
}  // namespace forerun
