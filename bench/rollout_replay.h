#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <vector>

// Recorded rollouts, replayed to a drafter as if they were being generated: it proposes, what
// agrees with the record is accepted, and one token more. Shared with peers' programs, so nothing
// of ours is used here.
namespace rollout_replay {

using Tokens = std::vector<int32_t>;

struct Problem {
  Tokens prompt;
  std::vector<Tokens> answers;  // one an epoch
};

// int32 numbers: for each problem its prompt's length, the prompt, the number of answers, and each
// one's length and tokens. Empty where there is no such file.
inline std::vector<Problem> read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  const std::span<const int32_t> numbers(reinterpret_cast<const int32_t*>(bytes.data()),
                                         bytes.size() / sizeof(int32_t));
  size_t next = 0;
  const auto take = [&] {
    const int32_t count = numbers[next++];
    Tokens tokens(numbers.begin() + next, numbers.begin() + next + count);
    next += count;
    return tokens;
  };
  std::vector<Problem> problems;
  while (next < numbers.size()) {
    Problem& problem = problems.emplace_back();
    problem.prompt = take();
    problem.answers.resize(numbers[next++]);
    for (Tokens& answer : problem.answers) answer = take();
  }
  return problems;
}

inline double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

struct Result {
  std::vector<double> tokens_per_round;      // by epoch
  std::vector<double> propose_seconds = {};  // sorted
  std::vector<int32_t> steps = {};           // tokens of each round
  int64_t tokens = 0;                        // written, prompts included
};

// A Drafter has begin(problem, epoch, prompt), propose(context) → its draft, accept(tokens).
template <class Drafter>
Result replay(const std::vector<Problem>& problems, Drafter& drafter) {
  Result result;
  const size_t epochs = problems.empty() ? 0 : problems[0].answers.size();
  for (size_t epoch = 0; epoch < epochs; ++epoch) {
    int64_t tokens = 0;
    int64_t rounds = 0;
    for (size_t p = 0; p < problems.size(); ++p) {
      Tokens context = problems[p].prompt;
      const Tokens& answer = problems[p].answers[epoch];
      drafter.begin(p, epoch, problems[p].prompt);
      for (size_t at = 0; at < answer.size(); ++rounds) {
        const auto begin = std::chrono::steady_clock::now();
        const std::span<const int32_t> draft = drafter.propose(context);
        result.propose_seconds.push_back(seconds_since(begin));
        const size_t most = std::min(draft.size(), answer.size() - at);
        size_t step = 0;
        while (step < most && draft[step] == answer[at + step]) ++step;
        step = std::min(step + 1, answer.size() - at);
        const std::span<const int32_t> accepted(answer.data() + at, step);
        drafter.accept(accepted);
        context.insert(context.end(), accepted.begin(), accepted.end());
        result.steps.push_back(static_cast<int32_t>(step));
        at += step;
      }
      tokens += static_cast<int64_t>(answer.size());
      result.tokens += static_cast<int64_t>(answer.size() + problems[p].prompt.size());
    }
    result.tokens_per_round.push_back(static_cast<double>(tokens) / static_cast<double>(rounds));
  }
  std::ranges::sort(result.propose_seconds);
  return result;
}

// What writing alone takes, in the same steps.
template <class Drafter>
double write_seconds(const std::vector<Problem>& problems, const std::vector<int32_t>& steps,
                     Drafter& drafter) {
  const auto begin = std::chrono::steady_clock::now();
  auto step = steps.begin();
  const size_t epochs = problems.empty() ? 0 : problems[0].answers.size();
  for (size_t epoch = 0; epoch < epochs; ++epoch) {
    for (size_t p = 0; p < problems.size(); ++p) {
      const std::span<const int32_t> answer = problems[p].answers[epoch];
      drafter.begin(p, epoch, problems[p].prompt);
      for (size_t at = 0; at < answer.size(); at += *step++)
        drafter.accept(answer.subspan(at, *step));
    }
  }
  return seconds_since(begin);
}

// A program's main: replays the file it is given to one drafter, writes it to another, and prints
// JSON. `make` makes one for a number of problems.
template <class Make>
int run(int argc, char** argv, Make make) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s FILE\n", argv[0]);
    return 2;
  }
  const std::vector<Problem> problems = read(argv[1]);
  if (problems.empty()) {
    std::fprintf(stderr, "%s holds no rollouts\n", argv[1]);
    return 1;
  }
  auto drafter = make(problems.size());
  const Result result = replay(problems, *drafter);
  auto written = make(problems.size());
  const double update = write_seconds(problems, result.steps, *written);
  const std::vector<double>& times = result.propose_seconds;
  double total = 0.0;
  for (const double seconds : times) total += seconds;
  const auto count = static_cast<double>(times.size());
  std::printf(
      "{\"tokens\": %lld, \"rounds\": %zu, \"propose_us\": {\"mean\": %.3f, \"p50\": %.3f, "
      "\"p99\": %.3f}, \"update_us\": %.4f, \"bytes_per_token\": %.1f, \"tokens_per_round\": [",
      static_cast<long long>(result.tokens), times.size(), 1e6 * total / count,
      1e6 * times[times.size() / 2], 1e6 * times[times.size() * 99 / 100],
      1e6 * update / static_cast<double>(result.tokens),
      drafter->memory_bytes() / static_cast<double>(result.tokens));
  for (size_t i = 0; i < result.tokens_per_round.size(); ++i) {
    std::printf("%s%.4f", i == 0 ? "" : ", ", result.tokens_per_round[i]);
  }
  std::printf("]}\n");
  return 0;
}

}  // namespace rollout_replay
