#include "online/trace_record.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

namespace forerun {
namespace {

constexpr int64_t kTokens = 5, kStates = 3, kWidth = 4;

using Branches = std::vector<TraceBranchRow>;

// Two behind position 1, one behind the other, and one behind position 3.
const Branches kBranches = {{1, -1, 2, 7}, {1, 0, 3, 8}, {3, -1, 1, 9}};

// A record whose tokens are 0, 1, …; whose states are 100 …, finals 1000 …, and those of branches
// 2000 …
std::vector<uint64_t> make_record(const std::function<void(TraceHeader&)>& change = nullptr,
                                  const Branches& branches = kBranches) {
  const TraceLayout layout =
      trace_layout(kTokens, kStates, kWidth, /*num_marks=*/0, std::ssize(branches));
  std::vector<uint64_t> memory(static_cast<size_t>(layout.end) / sizeof(uint64_t));
  auto* bytes = reinterpret_cast<uint8_t*>(memory.data());
  TraceHeader header;
  header.bytes = static_cast<uint64_t>(layout.end);
  header.num_tokens = kTokens;
  header.prompt_tokens = 2;
  header.first_state = 1;
  header.num_states = kStates;
  header.d_model = kWidth;
  header.num_branch_rows = static_cast<uint32_t>(branches.size());
  if (change) change(header);
  std::memcpy(bytes, &header, sizeof(header));
  auto* tokens = reinterpret_cast<int32_t*>(bytes + layout.tokens);
  for (int i = 0; i < kTokens; ++i) tokens[i] = i;
  auto* states = reinterpret_cast<uint16_t*>(bytes + layout.states);
  for (int i = 0; i < 3 * kStates * kWidth; ++i) states[i] = static_cast<uint16_t>(100 + i);
  auto* finals = reinterpret_cast<uint16_t*>(bytes + layout.finals);
  for (int i = 0; i < kStates * kWidth; ++i) finals[i] = static_cast<uint16_t>(1000 + i);
  std::ranges::copy(branches, reinterpret_cast<TraceBranchRow*>(bytes + layout.branches));
  auto* behind = reinterpret_cast<uint16_t*>(bytes + layout.branch_finals);
  for (int i = 0; i < std::ssize(branches) * kWidth; ++i)
    behind[i] = static_cast<uint16_t>(2000 + i);
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
  ASSERT_EQ(record->branches.size(), 3u);
  EXPECT_EQ(record->branches[1].parent, 0);
  EXPECT_EQ(record->branches[2].token, 9);
  EXPECT_EQ(record->branch_finals.size(), 12u);
  EXPECT_EQ(record->branch_finals[11], 2011);
  EXPECT_TRUE(parse(make_record(nullptr, {}))->branches.empty());
}

TEST(TraceRecord, ReadsTheVersionBefore) {
  const auto before = make_record([](TraceHeader& h) { h.version = 2; }, {});
  const Result<TraceRecord> record = parse(before);
  ASSERT_TRUE(record.ok()) << record.error().message;
  EXPECT_EQ(record->finals[11], 1011);
  EXPECT_TRUE(record->branches.empty());
}

TEST(TraceRecord, RefusesWhatNoWriterLeaves) {
  struct Case {
    std::function<void(TraceHeader&)> change;
    const char* said;
  };
  const Case cases[] = {
      {[](TraceHeader& h) { h.magic = 7; }, "does not begin"},
      {[](TraceHeader& h) { h.version = 1; }, "version 1"},
      {[](TraceHeader& h) { h.version = 4; }, "version 4"},
      {[](TraceHeader& h) { h.version = 2; }, "3 branch rows"},
      {[](TraceHeader& h) { h.bytes += 64; }, "length"},
      {[](TraceHeader& h) { h.d_model = 0; }, "state of 0"},
      {[](TraceHeader& h) { h.d_model = int64_t{1} << 40; }, "state of"},
      {[](TraceHeader& h) { h.num_tokens = -1; }, "-1 tokens"},
      {[](TraceHeader& h) { h.prompt_tokens = 6; }, "prompt"},
      {[](TraceHeader& h) { h.first_state = 3; }, "positions"},
      {[](TraceHeader& h) { h.first_state = -1; }, "positions"},
      {[](TraceHeader& h) { h.num_states = int64_t{1} << 62; }, "positions"},
      {[](TraceHeader& h) { h.num_states = 2; }, "does not follow"},
      {[](TraceHeader& h) { h.num_branch_rows = 40; }, "does not follow"},
      {[](TraceHeader& h) { h.num_branch_rows = ~uint32_t{0}; }, "4294967295 branch rows"},
  };
  for (const Case& one : cases) {
    const Result<TraceRecord> record = parse(make_record(one.change));
    ASSERT_FALSE(record.ok()) << one.said;
    EXPECT_NE(record.error().message.find(one.said), std::string::npos) << record.error().message;
  }
  EXPECT_FALSE(parse(make_record(), /*cut=*/64).ok());
  EXPECT_FALSE(parse_trace({}).ok());
}

TEST(TraceRecord, RefusesBranchesThatHangFromNothing) {
  const auto is_taken = [](const Branches& branches) {
    const Result<TraceRecord> record = parse(make_record(nullptr, branches));
    if (!record.ok()) {
      EXPECT_NE(record.error().message.find("hangs from nothing"), std::string::npos);
    }
    return record.ok();
  };
  EXPECT_TRUE(is_taken(kBranches));
  EXPECT_TRUE(is_taken({{1, -1, 1, 0}, {1, -1, 1, 1}, {1, 0, 2, 0}, {1, 1, 2, 0}}));
  EXPECT_FALSE(is_taken({{0, -1, 1, 0}})) << "a position without states";
  EXPECT_FALSE(is_taken({{4, -1, 1, 0}}));
  EXPECT_FALSE(is_taken({{-1, -1, 1, 0}}));
  EXPECT_FALSE(is_taken({{3, -1, 1, 0}, {1, -1, 1, 0}})) << "positions descend";
  EXPECT_FALSE(is_taken({{1, 0, 2, 0}})) << "its own parent";
  EXPECT_FALSE(is_taken({{1, 1, 2, 0}, {1, -1, 1, 0}})) << "a child before its parent";
  EXPECT_FALSE(is_taken({{1, -2, 1, 0}}));
  EXPECT_FALSE(is_taken({{1, -1, 1, 0}, {2, 0, 2, 0}})) << "a parent of another position";
  EXPECT_FALSE(is_taken({{1, -1, 1, 0}, {1, 0, 1, 0}})) << "no deeper than its parent";
  EXPECT_FALSE(is_taken({{1, -1, 1, 0}, {1, 0, 3, 0}}));
  EXPECT_FALSE(is_taken({{1, -1, 0, 0}}));
  EXPECT_FALSE(is_taken({{1, -1, 3, 0}})) << "a draft from before the text";
  Branches deep = {{3, -1, 1, 0}};
  while (deep.size() < kMaxDraft) {
    deep.push_back({3, deep.back().depth - 1, deep.back().depth + 1, 0});
  }
  EXPECT_TRUE(is_taken(deep));
  deep.push_back({3, kMaxDraft - 1, kMaxDraft + 1, 0});
  EXPECT_FALSE(is_taken(deep)) << "deeper than drafts are";
}

}  // namespace
}  // namespace forerun
