#include "spec/history_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "formats/temporary_folder.h"

namespace forerun {
namespace {

using Tokens = std::vector<int32_t>;

Tokens counting(int begin, int count) {
  Tokens tokens;
  for (int i = 0; i < count; ++i) tokens.push_back(begin + i);
  return tokens;
}

Tokens proposed(const HistoryIndex& index, HistoryScope scope, const Tokens& context,
                uint32_t first_epoch = 0) {
  HistoryQuery query;
  query.scopes = {&scope, 1};
  query.first_epoch = first_epoch;
  query.context = context;
  query.max_tokens = 4;
  HistoryDraft draft;
  index.propose(query, draft);
  return draft.tokens;
}

void add(HistoryIndex& index, HistoryScope scope, const Tokens& tokens, uint32_t epoch = 0) {
  HistoryIndex::Sequence sequence = index.open(scope, epoch);
  index.append(sequence, tokens);
}

bool keeps_all(HistoryScope) {
  return true;
}

TEST(HistoryFile, BringsBackWhatWasSaved) {
  const TemporaryFolder folder;
  const std::string path = folder.file("history");
  HistoryIndex index(1 << 13);
  add(index, 7, counting(100, 200));
  add(index, 8, counting(1000, 70), /*epoch=*/5);
  add(index, 9, counting(5000, 70));
  const auto keeps = [](HistoryScope scope) { return scope != 9; };
  ASSERT_TRUE(save_history(index, keeps, path).ok());

  HistoryIndex other(1 << 12);
  ASSERT_TRUE(restore_history(path, 10'000, other).ok());
  EXPECT_EQ(proposed(other, 7, counting(240, 5)), counting(245, 4));
  EXPECT_EQ(proposed(other, 8, counting(1020, 5), /*first_epoch=*/5), counting(1025, 4));
  EXPECT_EQ(proposed(other, 8, counting(1020, 5), /*first_epoch=*/6), Tokens{});
  EXPECT_EQ(proposed(other, 9, counting(5020, 5)), Tokens{}) << "was not kept";
  EXPECT_EQ(proposed(other, 7, counting(1020, 5)), Tokens{}) << "another's";
}

// Of what the ring has begun to forget, the rest.
TEST(HistoryFile, SavesWhatIsStillThere) {
  const TemporaryFolder folder;
  const std::string path = folder.file("history");
  HistoryIndex index(4096, /*first_position=*/0xffff'f000);
  for (int i = 0; i < 40; ++i) add(index, 1, counting(1000 * i, 300));
  ASSERT_TRUE(save_history(index, keeps_all, path).ok());
  HistoryIndex other(4096);
  ASSERT_TRUE(restore_history(path, 100'000, other).ok());
  for (int i = 0; i < 40; ++i) {
    const Tokens context = counting(1000 * i + 250, 6);
    EXPECT_EQ(proposed(other, 1, context), proposed(index, 1, context)) << i;
  }
}

TEST(HistoryFile, IsTheUsersOwn) {
  const TemporaryFolder folder;
  const std::string path = folder.file("history");
  ASSERT_TRUE(save_history(HistoryIndex(4096), keeps_all, path).ok());
  struct stat status = {};
  ASSERT_EQ(stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
}

TEST(HistoryFile, NoneIsNoError) {
  const TemporaryFolder folder;
  HistoryIndex index(4096);
  EXPECT_TRUE(restore_history(folder.file("none"), 100, index).ok());
}

TEST(HistoryFile, SaysWhatIsWrong) {
  const TemporaryFolder folder;
  const std::string path = folder.file("history");
  HistoryIndex index(4096);
  add(index, 1, counting(0, 10));
  ASSERT_TRUE(save_history(index, keeps_all, path).ok());
  std::string whole;
  {
    std::ifstream file(path, std::ios::binary);
    whole.assign(std::istreambuf_iterator<char>(file), {});
  }
  const auto fault = [&](const std::string& text, int64_t vocab_size = 100) {
    HistoryIndex empty(4096);
    const Status status = restore_history(folder.write("wrong", text), vocab_size, empty);
    EXPECT_EQ(empty.taken_tokens(), status.ok() ? 64 : 0);
    return status.ok() ? "" : status.error().message.substr(folder.path().size());
  };
  EXPECT_EQ(fault(whole), "");
  EXPECT_EQ(fault(whole, 9), "/wrong holds token 9; the model's ids go from 0 to 8");
  EXPECT_EQ(fault("something else that is long enough"), "/wrong is not a history of forerun");
  for (size_t size = 18 + 1; size < whole.size(); ++size) {
    EXPECT_EQ(fault(whole.substr(0, size)), "/wrong is cut off") << size;
  }
}

}  // namespace
}  // namespace forerun
