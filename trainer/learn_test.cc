#include "learn.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "base/check.h"
#include "head_files.h"
#include "online/trace_ring.h"
#include "trainer_fixture.h"

namespace forerun {
namespace {

using Arguments = std::vector<std::string>;

// The program as a child, and this end of its pipes.
class Trainer final {
 public:
  explicit Trainer(const Arguments& arguments) {
    std::array<int, 2> commands;
    std::array<int, 2> events;
    EXPECT_EQ(pipe2(commands.data(), O_CLOEXEC), 0);
    EXPECT_EQ(pipe2(events.data(), O_CLOEXEC), 0);
    std::vector<char*> argv;
    for (const std::string& argument : arguments)
      argv.push_back(const_cast<char*>(argument.data()));
    argv.push_back(nullptr);
    pid_ = fork();
    CHECK(pid_ >= 0, "a process more");
    if (pid_ == 0) {
      dup2(commands[0], STDIN_FILENO);
      dup2(events[1], STDOUT_FILENO);
      setenv("OMP_WAIT_POLICY", "passive", 1);  // or it would load the library twice
      execv(argv[0], argv.data());
      _exit(127);
    }
    close(commands[0]);
    close(events[1]);
    commands_ = commands[1];
    events_ = events[0];
  }
  ~Trainer() {
    if (pid_ > 0) kill(pid_, SIGKILL);
    wait();
    close_commands();
    close(events_);
  }

  void signal(int number) const {
    CHECK(pid_ > 0, "kill() with 0 is for all of them");
    kill(pid_, number);
  }
  // The exit status; −1: it was killed.
  int wait() {
    int status = 0;
    if (pid_ > 0) waitpid(pid_, &status, 0);
    pid_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  void command(const std::string& line) const {
    EXPECT_EQ(write(commands_, line.data(), line.size()), std::ssize(line));
  }
  void close_commands() {
    if (commands_ >= 0) close(commands_);
    commands_ = -1;
  }
  // The next event of a kind, if it comes within so long; null: it did not.
  Json event(const std::string& kind, int milliseconds = 60'000) {
    while (const std::optional<std::string> line = next_line(milliseconds)) {
      const Json json = *parse_json(*line);
      if (json["event"] == kind) return json;
    }
    return nullptr;
  }
  // Of the processor.
  double seconds() const {
    std::ifstream file("/proc/" + std::to_string(pid_) + "/stat");
    std::string field;
    for (int i = 0; i < 13; ++i) file >> field;
    double user = 0.0;
    double system = 0.0;
    file >> user >> system;
    return (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
  }

 private:
  std::optional<std::string> next_line(int milliseconds) {
    size_t end;
    while ((end = unread_.find('\n')) == std::string::npos) {
      pollfd waiting = {.fd = events_, .events = POLLIN, .revents = 0};
      std::array<char, 4096> bytes;
      if (poll(&waiting, 1, milliseconds) <= 0) return std::nullopt;
      const ssize_t count = read(events_, bytes.data(), bytes.size());
      if (count <= 0) return std::nullopt;
      unread_.append(bytes.data(), static_cast<size_t>(count));
    }
    std::string line = unread_.substr(0, end);
    unread_.erase(0, end + 1);
    return line;
  }

  pid_t pid_ = 0;
  int commands_ = -1;
  int events_ = -1;
  std::string unread_;
};

class Learn : public testing::Test {
 protected:
  Arguments arguments() const {
    return {FORERUN_TRAINER, "learn",       "--ring",          std::to_string(ring.descriptor()),
            "--target",      traces.path(), "--out",           traces.file("out"),
            "--draft-vocab", "48",          "--vocab-records", "8",
            "--cadence",     "20",          "--threads",       "1"};
  }
  void push(int count) {
    for (int i = 0; i < count; ++i) {
      const std::vector<uint8_t> record = traces.make_record(1, 24);
      const auto room = ring.reserve(std::ssize(record));
      ASSERT_TRUE(room);
      std::memcpy(room->data(), record.data(), record.size());
      ring.publish();
    }
  }
  Json state() const {
    const LearningTarget target = traces.target();
    const auto loaded = load_state(traces.file("out/state"), target, {}, false);
    if (!loaded.ok()) return nullptr;
    return {{"step", loaded->adam.num_steps}, {"records", loaded->progress.records}};
  }

  TraceFolder traces;
  TraceRing ring = *TraceRing::create(1 << 22);  // for all that a test pushes
};

TEST_F(Learn, GoesOnAfterBeingKilledAtAnyInstant) {
  std::mt19937 random(1);
  int64_t step = 0;
  for (int i = 0; i < 10; ++i) {
    Trainer trainer(arguments());
    push(16);
    if (i % 2 == 0) {  // every other one may be killed while it begins
      const Json ready = trainer.event("ready");
      ASSERT_FALSE(ready.is_null());
      EXPECT_GE(ready["step"], step);
      step = ready["step"];
    }
    push(16);
    std::this_thread::sleep_for(std::chrono::milliseconds(random() % 200));
    trainer.signal(SIGKILL);
    EXPECT_EQ(trainer.wait(), -1);
  }
  Trainer trainer(arguments());
  push(64);
  const Json candidate = trainer.event("candidate");
  ASSERT_FALSE(candidate.is_null());
  const LearningTarget target = traces.target();
  const auto head = load_head(candidate["folder"], target);
  EXPECT_TRUE(head.ok()) << head.error().message;
}

TEST_F(Learn, SavesWhenItIsToldToEnd) {
  const std::vector<std::function<void(Trainer&)>> ends = {
      [](Trainer& trainer) { trainer.close_commands(); },
      [](Trainer& trainer) { trainer.signal(SIGTERM); },
      [](Trainer& trainer) { trainer.command("{\"command\":\"stop\"}\n"); }};
  int64_t records = 0;
  for (const auto& end : ends) {
    Trainer trainer(arguments());
    const Json ready = trainer.event("ready");
    ASSERT_FALSE(ready.is_null());
    EXPECT_EQ(ready["resumed"], records > 0);
    push(8);
    const Json step = trainer.event("step");
    ASSERT_FALSE(step.is_null());
    end(trainer);
    EXPECT_EQ(trainer.wait(), 0);
    records += 8;
    EXPECT_EQ(state()["records"], records);
    EXPECT_GE(state()["step"], step["step"]);
  }
}

TEST_F(Learn, SleepsWhileNothingComes) {
  Trainer trainer(arguments());
  ASSERT_FALSE(trainer.event("ready").is_null());
  push(8);
  Json step;
  do {
    step = trainer.event("step");
    ASSERT_FALSE(step.is_null());
  } while (step["trained_tokens"] < 2 * 8 * 16);  // 16 response tokens each
  EXPECT_TRUE(trainer.event("step", 1500).is_null());
  const double before = trainer.seconds();
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  EXPECT_LT(trainer.seconds() - before, 0.1);
  push(8);
  step = trainer.event("step");
  EXPECT_GT(step["idle_seconds"], 1.0);
}

TEST_F(Learn, AnswersCommands) {
  Trainer trainer(arguments());
  trainer.command(
      "nonsense\n{\"command\":\"pause\"}\n{\"command\":\"begin_from\",\"head\":\"/none\"}\n");
  EXPECT_EQ(trainer.event("error")["error"], "a command is not a JSON object: 'nonsense'");
  EXPECT_FALSE(trainer.event("error").is_null());
  push(8);
  EXPECT_TRUE(trainer.event("step", 200).is_null());
  trainer.command("{\"command\":\"resume\"}\n");
  EXPECT_FALSE(trainer.event("step").is_null());
}

TEST_F(Learn, SaysWhatIsWrong) {
  Arguments wrong = arguments();
  wrong[3] = std::to_string(open("/dev/null", O_RDONLY));
  Trainer trainer(wrong);
  EXPECT_EQ(trainer.event("error")["error"], "trace ring: the memory is too small for one");
  EXPECT_EQ(trainer.wait(), 1);
  wrong.resize(4);
  Trainer unknowing(wrong);
  EXPECT_EQ(unknowing.wait(), 2);
}

}  // namespace
}  // namespace forerun
