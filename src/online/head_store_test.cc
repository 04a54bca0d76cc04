#include "online/head_store.h"

#include <gtest/gtest.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <csignal>
#include <cstdlib>
#include <functional>
#include <iterator>
#include <limits>

#include "formats/safetensors_writer.h"
#include "formats/temporary_folder.h"

namespace forerun {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kWeights = 0x0123456789abcdef;
using Versions = std::vector<int64_t>;

HeadEntry make_entry(int64_t parent = 0) {
  HeadEntry entry;
  entry.parent = parent;
  entry.vocabulary = 2;
  entry.created_s = 1'700'000'000;
  entry.trained_tokens = 123'456;
  entry.first_conversation = 10;
  entry.last_conversation = 900;
  entry.weights = kWeights;
  entry.metrics = {{"accepted", 2.5}, {"loss", 0.1}};
  entry.traffic = {0.25f, -1.1f};
  return entry;
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// What a trainer leaves.
std::string make_head(const TemporaryFolder& folder, const std::string& name,
                      const std::string& weights = "weights") {
  fs::create_directory(folder.file(name));
  folder.write(name + "/config.json", "{}");
  folder.write(name + "/model.safetensors", weights);
  folder.write(name + "/optimizer", "state");
  return folder.file(name);
}

HeadStore open_store(const TemporaryFolder& folder, const std::string& name = "store") {
  Result<HeadStore> store = HeadStore::open(folder.file(name), kWeights);
  EXPECT_TRUE(store.ok()) << store.error().message;
  return std::move(*store);
}

int64_t publish(const TemporaryFolder& folder, HeadStore& store, int64_t parent = 0,
                const std::string& weights = "weights") {
  const Result<int64_t> version =
      store.publish(make_head(folder, "made", weights), make_entry(parent));
  EXPECT_TRUE(version.ok()) << version.error().message;
  return version.ok() ? *version : 0;
}

Versions listed(const HeadStore& store) {
  const auto entries = store.list();
  EXPECT_TRUE(entries.ok());
  Versions versions;
  for (const HeadEntry& entry : *entries) versions.push_back(entry.version);
  return versions;
}

template <typename T>
std::string fault(const Result<T>& result) {
  return result.ok() ? "" : result.error().message;
}

#define EXPECT_FAULT(result, words) \
  EXPECT_NE(fault(result).find(words), std::string::npos) << fault(result)

TEST(HeadStore, BeginsEmptyAndIsTheUsersOwn) {
  const TemporaryFolder folder;
  const HeadStore store = open_store(folder);
  EXPECT_EQ(listed(store), Versions{});
  EXPECT_EQ(*store.current(), 0);
  EXPECT_EQ(*store.previous(), 0);
  EXPECT_TRUE(store.read_events(5)->empty());
  struct stat status = {};
  ASSERT_EQ(stat(folder.file("store").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0700u);
}

TEST(HeadStore, PublishesAndTellsWhatItKnows) {
  const TemporaryFolder folder;
  HeadStore store = open_store(folder);
  EXPECT_EQ(publish(folder, store), 1);
  EXPECT_EQ(publish(folder, store, /*parent=*/1, "other weights"), 2);
  EXPECT_FALSE(fs::exists(folder.file("made"))) << "moved, not copied";
  EXPECT_EQ(read_file(store.head_folder(2) + "/model.safetensors"), "other weights");
  EXPECT_EQ(read_file(store.head_folder(2) + "/config.json"), "{}");
  EXPECT_FALSE(fs::exists(store.head_folder(2) + "/optimizer"));

  const HeadStore again = open_store(folder);
  EXPECT_EQ(listed(again), (Versions{1, 2}));
  const HeadEntry found = *again.entry(2);
  const HeadEntry expected = make_entry(1);
  EXPECT_EQ(found.version, 2);
  EXPECT_EQ(found.parent, 1);
  EXPECT_EQ(found.vocabulary, expected.vocabulary);
  EXPECT_EQ(found.created_s, expected.created_s);
  EXPECT_EQ(found.trained_tokens, expected.trained_tokens);
  EXPECT_EQ(found.first_conversation, expected.first_conversation);
  EXPECT_EQ(found.last_conversation, expected.last_conversation);
  EXPECT_EQ(found.weights, expected.weights);
  EXPECT_EQ(found.metrics, expected.metrics);
  EXPECT_EQ(found.traffic, expected.traffic);
  EXPECT_NE(read_file(store.head_folder(2) + "/head.json").find("\"0123456789abcdef\""),
            std::string::npos);
}

TEST(HeadStore, RefusesWhatIsForeignOrIncomplete) {
  const TemporaryFolder folder;
  HeadStore store = open_store(folder);
  HeadEntry entry = make_entry();
  entry.weights = 0xfeed;
  EXPECT_FAULT(store.publish(make_head(folder, "foreign"), entry),
               "was trained for the weights 000000000000feed; this model's are 0123456789abcdef");
  EXPECT_TRUE(fs::exists(folder.file("foreign/model.safetensors")));
  entry = make_entry();
  entry.metrics["loss"] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_FAULT(store.publish(make_head(folder, "nan"), entry), "metric 'loss'");
  for (const char* name : {"config.json", "model.safetensors"}) {
    const std::string head = make_head(folder, "lacks");
    fs::remove(head + "/" + name);
    EXPECT_FAULT(store.publish(head, make_entry()), head + " has no file " + name);
  }
  EXPECT_FAULT(store.publish(folder.file("none"), make_entry()), "none has no file");
  EXPECT_EQ(listed(store), Versions{});
  EXPECT_TRUE(fs::is_empty(folder.file("store/heads")));
}

TEST(HeadStore, CopiesFromAnotherFileSystem) {
  const TemporaryFolder folder;
  HeadStore store = open_store(folder);
  const std::string other = "/dev/shm/forerun_head_store_" + std::to_string(getpid());
  std::error_code failure;
  fs::copy(make_head(folder, "made"), other, failure);
  struct stat here = {}, there = {};
  stat(folder.path().c_str(), &here);
  if (failure || stat(other.c_str(), &there) != 0 || here.st_dev == there.st_dev) {
    fs::remove_all(other, failure);
    GTEST_SKIP() << "this machine has no other file system to write to";
  }
  EXPECT_EQ(fault(store.publish(other, make_entry())), "");
  EXPECT_EQ(listed(store), Versions{1});
  EXPECT_EQ(read_file(store.head_folder(1) + "/model.safetensors"), "weights");
  EXPECT_FALSE(fs::exists(other));
}

TEST(HeadStore, SwitchesTheCurrentHead) {
  const TemporaryFolder folder;
  HeadStore store = open_store(folder);
  publish(folder, store);
  publish(folder, store, /*parent=*/1);
  ASSERT_TRUE(store.activate(2).ok());
  EXPECT_EQ(read_file(folder.file("store/CURRENT")), "2\n");
  EXPECT_EQ(*open_store(folder).current(), 2);
  EXPECT_EQ(*store.previous(), 1);
  ASSERT_TRUE(store.activate(1).ok());
  EXPECT_EQ(*store.current(), 1);
  EXPECT_EQ(*store.previous(), 0);
  EXPECT_FAULT(store.activate(3), "000003");
  EXPECT_EQ(*store.current(), 1);
  ASSERT_TRUE(store.activate(0).ok());
  EXPECT_EQ(*store.current(), 0);
}

TEST(HeadStore, RemembersTheReference) {
  const TemporaryFolder folder;
  HeadStore store = open_store(folder);
  EXPECT_EQ(*store.reference(), 0);
  EXPECT_FALSE(store.set_reference(1).ok()) << "there is none";
  publish(folder, store);
  publish(folder, store);
  ASSERT_TRUE(store.set_reference(1).ok());
  ASSERT_TRUE(store.activate(2).ok());
  EXPECT_EQ(*store.reference(), 1);
  EXPECT_EQ(*open_store(folder).reference(), 1);
  fs::remove_all(store.head_folder(1));
  EXPECT_FALSE(store.reference().ok());
}

TEST(HeadStore, SaysWhatIsWrongWithCurrent) {
  const TemporaryFolder folder;
  HeadStore store = open_store(folder);
  publish(folder, store);
  for (const char* text : {"", "x\n", "-1\n", "1x\n", "99999999999999999999\n"}) {
    folder.write("store/CURRENT", text);
    EXPECT_FAULT(store.current(), "store/CURRENT does not hold a version");
  }
  folder.write("store/CURRENT", "2\n");
  EXPECT_FAULT(store.current(), "store/CURRENT names a head that cannot be used");
  folder.write("store/CURRENT", "1");
  EXPECT_EQ(*store.current(), 1);
}

TEST(HeadStore, ListsNoDamagedOrForeignHead) {
  const TemporaryFolder folder;
  HeadStore store = open_store(folder);
  for (int i = 0; i < 3; ++i) publish(folder, store);
  const std::string whole = read_file(store.head_folder(2) + "/head.json");
  for (size_t size = 0; size + 1 < whole.size(); ++size) {  // the last byte ends the line
    folder.write("store/heads/000002/head.json", std::string_view(whole).substr(0, size));
    ASSERT_EQ(listed(store), (Versions{1, 3})) << size;
  }
  folder.write("store/heads/000002/head.json", read_file(store.head_folder(1) + "/head.json"));
  EXPECT_FAULT(store.entry(2), "000002/head.json is that of version 1");
  folder.write("store/heads/000002/head.json", whole);
  ASSERT_EQ(listed(store), (Versions{1, 2, 3}));
  folder.remove("store/heads/000003/model.safetensors");
  EXPECT_EQ(listed(open_store(folder)), (Versions{1, 2}));
  EXPECT_FAULT(store.entry(3), "000003 has no file model.safetensors");
  EXPECT_EQ(publish(folder, store), 4) << "a number is given once";
  const Result<HeadStore> other = HeadStore::open(folder.file("store"), kWeights + 1);
  EXPECT_EQ(listed(*other), Versions{});
}

TEST(HeadStore, NamesTheFieldOfAnEntryThatIsWrong) {
  const TemporaryFolder folder;
  HeadStore store = open_store(folder);
  publish(folder, store);
  const Json whole = Json::parse(read_file(store.head_folder(1) + "/head.json"));
  const auto fault_with = [&](const char* name, const Json& value) {
    Json changed = whole;
    changed[name] = value;
    folder.write("store/heads/000001/head.json", changed.dump());
    return store.entry(1);
  };
  EXPECT_FAULT(fault_with("parent", -1), "parent");
  EXPECT_FAULT(fault_with("trained_tokens", "many"), "trained_tokens");
  EXPECT_FAULT(fault_with("conversations", {1}), "conversations");
  EXPECT_FAULT(fault_with("conversations", {"first", 2}), "conversations");
  EXPECT_FAULT(fault_with("weights", "xyz"), "weights is not a fingerprint");
  EXPECT_FAULT(fault_with("metrics", {{"loss", "low"}}), "metric 'loss'");
  EXPECT_FAULT(fault_with("metrics", 3), "metrics");
  EXPECT_FAULT(fault_with("traffic", {1, "x"}), "traffic");
}

TEST(HeadStore, RemovesTheOldButNotWhatIsNeeded) {
  const TemporaryFolder folder;
  HeadStore store = open_store(folder);
  for (int i = 0; i < 7; ++i) publish(folder, store, /*parent=*/i == 4 ? 2 : 0);
  ASSERT_TRUE(store.activate(5).ok());
  const Versions pinned = {3};
  ASSERT_TRUE(store.remove_old(2, pinned).ok());
  EXPECT_EQ(listed(store), (Versions{2, 3, 5, 6, 7}));
  EXPECT_FALSE(fs::exists(store.head_folder(1) + ".partial"));
  ASSERT_TRUE(store.remove_old(1).ok());
  EXPECT_EQ(listed(store), (Versions{2, 5, 7}));
  EXPECT_EQ(publish(folder, store), 8);
}

TEST(HeadStore, CopiesHeadsOutAndIn) {
  const TemporaryFolder folder;
  HeadStore store = open_store(folder);
  publish(folder, store);
  publish(folder, store, /*parent=*/1, "other weights");
  ASSERT_EQ(fault(store.export_head(2, folder.file("out"))), "");
  EXPECT_EQ(listed(store), (Versions{1, 2}));
  EXPECT_FAULT(store.export_head(2, folder.file("out")), folder.file("out"));
  EXPECT_FAULT(store.export_head(3, folder.file("new")), "000003");

  HeadStore other = open_store(folder, "other");
  EXPECT_EQ(*other.import_head(folder.file("out")), 1);
  EXPECT_EQ(read_file(other.head_folder(1) + "/model.safetensors"), "other weights");
  EXPECT_EQ(other.entry(1)->metrics, make_entry().metrics);
  EXPECT_EQ(other.entry(1)->parent, 0);
  EXPECT_TRUE(fs::exists(folder.file("out/head.json")));
  Result<HeadStore> foreign = HeadStore::open(folder.file("foreign"), kWeights + 1);
  EXPECT_FAULT(foreign->import_head(folder.file("out")), "was trained for the weights");
  EXPECT_FAULT(other.import_head(folder.file("none")), "none has no weights");
}

// As other programs' trainers leave one.
std::string make_checkpoint(const TemporaryFolder& folder, const Json& changes = Json::object()) {
  fs::create_directory(folder.file("checkpoint"));
  Json config = {{"hidden_size", 4}, {"vocab_size", 8}, {"draft_vocab_size", 8}};
  config.update(changes);
  folder.write("checkpoint/config.json", config.dump());
  SafetensorsWriter writer;
  writer.add_f32_tensor("fc.weight", {4, 12}, std::vector<float>(48));
  EXPECT_TRUE(writer.write(folder.file("checkpoint/model.safetensors")).ok());
  return folder.file("checkpoint");
}

TEST(HeadStore, CopiesAnyCheckpointIn) {
  const TemporaryFolder folder;
  HeadStore store = open_store(folder);
  publish(folder, store);
  const std::string checkpoint = make_checkpoint(folder);
  const Result<int64_t> version = store.import_head(checkpoint);
  ASSERT_EQ(fault(version), "");
  EXPECT_EQ(*version, 2);
  const HeadEntry entry = *store.entry(2);
  EXPECT_EQ(entry.parent, 0);
  EXPECT_EQ(entry.weights, kWeights);
  EXPECT_EQ(entry.trained_tokens, 0);
  EXPECT_GT(entry.created_s, 1'700'000'000);
  EXPECT_EQ(read_file(store.head_folder(2) + "/model.safetensors"),
            read_file(checkpoint + "/model.safetensors"));
  EXPECT_FALSE(fs::exists(checkpoint + "/head.json"));

  // As hubs' caches keep it.
  fs::rename(checkpoint + "/model.safetensors", folder.file("blob"));
  fs::create_symlink(folder.file("blob"), checkpoint + "/model.safetensors");
  EXPECT_EQ(fault(store.import_head(checkpoint)), "");
  EXPECT_TRUE(fs::is_regular_file(fs::symlink_status(store.head_folder(3) + "/model.safetensors")));
}

TEST(HeadStore, TakesNoCheckpointThatCannotBeRead) {
  const TemporaryFolder folder;
  HeadStore store = open_store(folder);
  const std::string other = make_checkpoint(folder, {{"num_hidden_layers", 2}});
  EXPECT_FAULT(store.import_head(other), "num_hidden_layers is 2");
  folder.write("checkpoint/model.safetensors", "weights");
  EXPECT_FAULT(store.import_head(other), "model.safetensors");
  EXPECT_EQ(listed(store), Versions{});
}

TEST(HeadStore, KeepsALogOfEvents) {
  const TemporaryFolder folder;
  HeadStore store = open_store(folder);
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(store.append_event({{"kind", "verdict"}, {"n", i}, {"why", "two\nlines"}}).ok());
  }
  const auto numbers = [&](size_t most) {
    const Result<std::vector<Json>> events = store.read_events(most);
    Versions found;
    for (const Json& event : *events) found.push_back(event["n"]);
    return found;
  };
  EXPECT_EQ(numbers(3), (Versions{2, 3, 4}));
  EXPECT_EQ(numbers(9), (Versions{0, 1, 2, 3, 4}));
  EXPECT_EQ(numbers(0), Versions{});
  struct stat status = {};
  ASSERT_EQ(stat(folder.file("store/events.jsonl").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);

  // A line that was cut off is left out and does not take the next one with it.
  const std::string whole = read_file(folder.file("store/events.jsonl"));
  const size_t last = whole.rfind('\n', whole.size() - 2) + 1;
  for (size_t size = last; size + 1 < whole.size(); ++size) {
    folder.write("store/events.jsonl", std::string_view(whole).substr(0, size));
    ASSERT_TRUE(store.append_event({{"kind", "drift"}, {"n", 9}}).ok());
    // Cut right before its end of line it is whole.
    const Versions expected = size + 1 < whole.size() ? Versions{2, 3, 9} : Versions{3, 4, 9};
    ASSERT_EQ(numbers(3), expected) << size;
  }
}

TEST(HeadStore, SaysThatAnEventDidNotFit) {
  const TemporaryFolder folder;
  HeadStore store = open_store(folder);
  rlimit before = {};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit full = {10, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &full), 0);
  const Status status = store.append_event({{"kind", "published"}, {"version", 1}});
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  EXPECT_FAULT(status, "cannot write " + folder.file("store/events.jsonl"));
  ASSERT_TRUE(store.append_event({{"kind", "published"}, {"version", 2}}).ok());
  EXPECT_EQ((*store.read_events(5)).size(), 1u);
}

TEST(HeadStore, SweepsOnlyWhenNobodyElseIsThere) {
  const TemporaryFolder folder;
  {
    const HeadStore first = open_store(folder);
    fs::create_directory(folder.file("store/heads/000001.partial"));
    const HeadStore second = open_store(folder);
    EXPECT_TRUE(fs::exists(folder.file("store/heads/000001.partial")));
  }
  open_store(folder);
  EXPECT_FALSE(fs::exists(folder.file("store/heads/000001.partial")));
}

TEST(HeadStore, SaysWhatFolderCannotBeUsed) {
  const TemporaryFolder folder;
  EXPECT_FAULT(HeadStore::open(folder.write("file", ""), kWeights), folder.file("file"));
  EXPECT_FAULT(HeadStore::open(folder.file("a/b"), kWeights), folder.file("a/b"));
}

// Runs `action` in another process, which is killed instead of its call-th system call. True: it
// was over before.
bool run_and_kill(int call, const std::function<void()>& action) {
  const pid_t child = fork();
  if (child == 0) {
    ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    raise(SIGSTOP);
    action();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  // The return from raise(), then a stop at each entry and at each return.
  for (int stop = 0; stop < 2 * call && WIFSTOPPED(status); ++stop) {
    if (ptrace(PTRACE_SYSCALL, child, nullptr, nullptr) != 0) break;
    waitpid(child, &status, 0);
  }
  if (!WIFSTOPPED(status)) {
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "the action failed";
    return true;
  }
  kill(child, SIGKILL);
  waitpid(child, &status, 0);
  return false;
}

class KilledHeadStore : public testing::Test {
 protected:
  // Kills `action` on a copy of the store at every system call, and gives what is left to `check`.
  void kill_everywhere(const std::function<bool(HeadStore&)>& action,
                       const std::function<void(HeadStore&)>& check) {
    bool is_over = false;
    for (int call = 1; !is_over; ++call) {
      ASSERT_LT(call, 1000);
      fs::remove_all(folder_.file("copy"));
      fs::copy(folder_.file("store"), folder_.file("copy"), fs::copy_options::recursive);
      make_head(folder_, "made");
      {
        HeadStore store = open_store(folder_, "copy");
        is_over = run_and_kill(call, [&] {
          if (!action(store)) _exit(1);
        });
      }
      HeadStore store = open_store(folder_, "copy");
      check_whole(store);
      check(store);
      ASSERT_FALSE(HasFailure()) << "killed at call " << call;
    }
  }

  void check_whole(const HeadStore& store) const {
    const Versions heads = listed(store);
    const fs::directory_iterator folders(folder_.file("copy/heads"));
    EXPECT_EQ(std::distance(begin(folders), end(folders)), std::ssize(heads)) << "and no other";
    for (const int64_t version : heads) {
      EXPECT_EQ(read_file(store.head_folder(version) + "/model.safetensors"), "weights");
    }
    EXPECT_EQ(fault(store.current()), "");
  }

  const TemporaryFolder folder_;
};

TEST_F(KilledHeadStore, HoldsAPublishedHeadWholeOrNotAtAll) {
  {
    HeadStore store = open_store(folder_);
    publish(folder_, store);
    ASSERT_TRUE(store.activate(1).ok());
  }
  int num_before = 0, num_published = 0, num_active = 0;
  kill_everywhere(
      [&](HeadStore& store) {
        const Result<int64_t> version = store.publish(folder_.file("made"), make_entry(1));
        return version.ok() && store.activate(*version).ok();
      },
      [&](HeadStore& store) {
        const bool is_published = listed(store).back() == 2;
        const bool is_active = *store.current() == 2;
        EXPECT_TRUE(is_active ? is_published : *store.current() == 1);
        (is_active ? num_active : is_published ? num_published : num_before) += 1;
      });
  EXPECT_GT(num_before, 20);
  EXPECT_GT(num_published, 5);
  EXPECT_GE(num_active, 2);
}

TEST_F(KilledHeadStore, RemovesAHeadWhollyOrNotAtAll) {
  {
    HeadStore store = open_store(folder_);
    publish(folder_, store);
    publish(folder_, store);
  }
  int num_before = 0, num_removed = 0;
  kill_everywhere([](HeadStore& store) { return store.remove_old(1).ok(); },
                  [&](HeadStore& store) {
                    (listed(store).size() == 2 ? num_before : num_removed) += 1;
                    EXPECT_EQ(listed(store).back(), 2);
                  });
  EXPECT_GT(num_before, 20);
  EXPECT_GT(num_removed, 5);
}

}  // namespace
}  // namespace forerun
