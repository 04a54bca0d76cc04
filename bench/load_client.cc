// Sends prepared requests to a server, some at a time, and prints what came back as JSON: the same
// client for every server that is compared, frugal enough to share two cores with it.

#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <exception>
#include <fstream>
#include <iostream>

#include "base/json.h"
#include "load_run.h"

namespace forerun {
namespace {

std::vector<std::string> read_lines(const std::string& path) {
  std::ifstream file(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) {
    if (!line.empty()) lines.push_back(line);
  }
  return lines;
}

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// By the nearest rank.
double percentile(const std::vector<double>& sorted, double share) {
  const auto rank = static_cast<size_t>(share * static_cast<double>(sorted.size()));
  return sorted[std::min(rank, sorted.size() - 1)];
}

Json milliseconds(std::vector<double> seconds) {
  if (seconds.empty()) return {{"count", 0}};
  std::ranges::sort(seconds);
  double sum = 0.0;
  for (const double value : seconds) sum += value;
  return {{"count", seconds.size()},
          {"mean", 1e3 * sum / static_cast<double>(seconds.size())},
          {"p50", 1e3 * percentile(seconds, 0.5)},
          {"p90", 1e3 * percentile(seconds, 0.9)},
          {"p99", 1e3 * percentile(seconds, 0.99)},
          {"max", 1e3 * seconds.back()}};
}

std::vector<double> gaps(const LoadAnswer& answer) {
  std::vector<double> gaps;
  for (size_t i = 1; i < answer.arrivals.size(); ++i) {
    gaps.push_back(answer.arrivals[i] - answer.arrivals[i - 1]);
  }
  return gaps;
}

// Tokens a second from the moment when every answer has begun, as `forerun bench engine` counts;
// null when some had ended by then, or none streams.
Json decode_tok_s(const std::vector<LoadAnswer>& answers) {
  double all_begun = 0.0;
  double end = 0.0;
  for (const LoadAnswer& answer : answers) {
    if (answer.arrivals.size() < 2) return nullptr;
    all_begun = std::max(all_begun, answer.arrivals.front());
    end = std::max(end, answer.arrivals.back());
  }
  double tokens = 0.0;
  for (const LoadAnswer& answer : answers) {
    if (answer.arrivals.back() < all_begun) return nullptr;
    const auto before =
        std::ranges::count_if(answer.arrivals, [&](double time) { return time <= all_begun; });
    tokens += static_cast<double>(answer.tokens - before);
  }
  return tokens / (end - all_begun);
}

Json detail(const LoadAnswer& answer) {
  return {{"status", answer.status}, {"error", answer.error},   {"begin", answer.begin},
          {"end", answer.end},       {"tokens", answer.tokens}, {"arrivals", answer.arrivals}};
}

Json report(const std::vector<LoadAnswer>& answers, bool details) {
  std::vector<double> first_token;
  std::vector<double> between;
  std::vector<double> whole;
  std::vector<std::string> errors;
  int64_t tokens = 0;
  double end = 0.0;
  for (const LoadAnswer& answer : answers) {
    end = std::max(end, answer.end);
    if (!answer.error.empty()) {
      errors.push_back(std::to_string(answer.status) + ": " + answer.error);
      continue;
    }
    tokens += answer.tokens;
    first_token.push_back(answer.arrivals.front() - answer.begin);
    whole.push_back(answer.end - answer.begin);
    const std::vector<double> these = gaps(answer);
    between.insert(between.end(), these.begin(), these.end());
  }
  const size_t num_errors = errors.size();
  errors.resize(std::min<size_t>(num_errors, 5));
  Json document = {{"requests", answers.size()},
                   {"errors", num_errors},
                   {"first_errors", errors},
                   {"seconds", end},
                   {"tokens", tokens},
                   {"tok_s", static_cast<double>(tokens) / end},
                   {"decode_tok_s", decode_tok_s(answers)},
                   {"first_token_ms", milliseconds(std::move(first_token))},
                   {"inter_token_ms", milliseconds(std::move(between))},
                   {"whole_ms", milliseconds(std::move(whole))},
                   {"client_cpu_seconds", cpu_seconds()}};
  if (details) {
    for (const LoadAnswer& answer : answers) document["answers"].push_back(detail(answer));
  }
  return document;
}

int fail(const std::string& sentence) {
  std::cerr << "load_client: " << sentence << '\n';
  return 1;
}

int run(const std::string& url, const std::string& file, int concurrency, bool details) {
  const Result<LoadTarget> target = parse_target(url);
  if (!target.ok()) return fail(target.error().message);
  const std::vector<std::string> bodies = read_lines(file);
  if (bodies.empty()) return fail(file + " holds no request");
  const Result<std::vector<LoadAnswer>> answers = run_load(*target, bodies, concurrency);
  if (!answers.ok()) return fail(answers.error().message);
  std::cout << report(*answers, details).dump(1, ' ', false, Json::error_handler_t::replace)
            << '\n';
  return 0;
}

}  // namespace
}  // namespace forerun

int main(int argc, char** argv) try {
  CLI::App app("Sends the requests of a file to a server and prints what came back as JSON");
  std::string url;
  std::string file;
  int concurrency = 1;
  bool details = false;
  app.add_option("url", url, "Where to POST, such as http://127.0.0.1:8000/v1/completions")
      ->required();
  app.add_option("file", file, "A request's JSON body on each line")->required();
  app.add_option("--concurrency", concurrency, "Requests under way at a time")
      ->check(CLI::Range(1, 10000));
  app.add_flag("--details", details, "Every answer with the times its text came at");
  CLI11_PARSE(app, argc, argv);
  return forerun::run(url, file, concurrency, details);
} catch (const std::exception& error) {
  return forerun::fail(error.what());
}
