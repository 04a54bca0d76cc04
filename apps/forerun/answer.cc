#include "answer.h"

#include <cmath>
#include <cstdio>

#include "base/clock.h"

namespace forerun {
namespace {

std::string fixed(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof(text), "%.*f", digits, value);
  return text;
}

}  // namespace

Answer::Answer(const Tokenizer& tokenizer, Request request)
    : tokenizer_(tokenizer), request_(std::move(request)) {
  choices_.reserve(request_.n);
  for (int i = 0; i < request_.n; ++i) {
    choices_.push_back({ChoiceText(tokenizer, request_)});
  }
}

void Answer::begin() {
  begin_ = now_seconds();
}
void Answer::end() {
  end_ = now_seconds();
}

std::string_view Answer::add(const TokenEvent& event) {
  if (first_token_ == 0.0) first_token_ = now_seconds();
  Choice& choice = choices_[event.choice];
  choice.token_ids.push_back(event.token_id);
  if (event.logprob.has_value()) {
    Json entry = logprob_json(event.token_id, *event.logprob);
    entry["top"] = Json::array();
    for (const TokenLogprob& top : event.top) {
      entry["top"].push_back(logprob_json(top.token_id, top.logprob));
    }
    choice.logprobs.push_back(std::move(entry));
  }
  return choice.text.push(event.token_id);
}

std::string_view Answer::finish(const FinishEvent& event) {
  Choice& choice = choices_[event.choice];
  choice.reason = event.reason;
  choice.stop_id = event.stop_id;
  choice.stop_string = event.stop_string;
  prompt_tokens_ = event.prompt_tokens;
  cached_tokens_ = event.cached_tokens;
  seed_ = event.seed;
  if (event.reason == FinishReason::kError) error_ = event.error;
  return choice.text.finish();
}

std::string Answer::all_choices() const {
  std::string all;
  for (size_t i = 0; i < choices_.size(); ++i) {
    all += (i > 0 ? "\n--- choice " : "--- choice ") + std::to_string(i) + " ---\n";
    all += choices_[i].text.shown();
    all += '\n';
  }
  return all;
}

Json Answer::json(const LoadedModel& loaded, const std::string& fingerprint) const {
  Json json = {{"model", loaded.model->descriptor().name},
               {"system_fingerprint", fingerprint},
               {"seed", seed_},
               {"usage",
                {{"prompt_tokens", prompt_tokens_},
                 {"cached_tokens", cached_tokens_},
                 {"completion_tokens", num_tokens()}}},
               {"timing",
                {{"load_seconds", loaded.load_seconds},
                 {"first_token_seconds", prompt_seconds()},
                 {"seconds", end_ - begin_},
                 {"tokens_per_second", tokens_per_second()}}}};
  for (size_t i = 0; i < choices_.size(); ++i) json["choices"].push_back(choice_json(i));
  return json;
}

Json Answer::choice_json(size_t index) const {
  const Choice& choice = choices_[index];
  Json json = {{"index", index},
               {"text", choice.text.shown()},
               {"token_ids", choice.token_ids},
               {"finish_reason", finish_reason_name(choice.reason)}};
  if (choice.stop_id.has_value()) json["stop"] = *choice.stop_id;
  if (choice.stop_string >= 0) json["stop"] = request_.stop_strings[choice.stop_string];
  if (request_.sampling.logprobs != LogprobMode::kNone) {
    const bool raw = request_.sampling.logprobs == LogprobMode::kRaw;
    json["logprobs"] = {{"mode", raw ? "raw" : "processed"}, {"tokens", choice.logprobs}};
  }
  return json;
}

Json Answer::logprob_json(int32_t token_id, float logprob) const {
  Json json = {{"token_id", token_id}, {"token", tokenizer_.token_bytes(token_id)}};
  json["logprob"] = std::isfinite(logprob) ? Json(logprob) : Json(nullptr);
  return json;
}

std::string Answer::timing_line(const LoadedModel& loaded) const {
  return "load " + fixed(loaded.load_seconds, 2) + " s | " + turn_line() + " | " +
         std::string(loaded.kernels->name) + ", " + std::to_string(loaded.team->size()) +
         " threads";
}

std::string Answer::turn_line() const {
  std::string line = "prompt " + std::to_string(prompt_tokens_) + " tokens";
  if (cached_tokens_ > 0) line += ", " + std::to_string(cached_tokens_) + " cached,";
  if (num_tokens() > 0) {
    line +=
        " in " + fixed(prompt_seconds(), 2) + " s | " + std::to_string(num_tokens()) + " tokens";
  }
  if (tokens_per_second() > 0.0) line += ", " + fixed(tokens_per_second(), 1) + " tokens/s";
  line += " | " + why_it_ended();
  if (!request_.sampling.greedy()) line += " | seed " + std::to_string(seed_);
  return line;
}

std::string Answer::why_it_ended() const {
  if (choices_.size() > 1) return std::to_string(choices_.size()) + " choices";
  const Choice& choice = choices_.front();
  switch (choice.reason) {
    case FinishReason::kStop:
      return choice.stop_string >= 0 ? "stop text" : "end of answer";
    case FinishReason::kLength:
      return static_cast<int64_t>(choice.token_ids.size()) == request_.max_tokens
                 ? "cut by --max-tokens"
                 : "cut where the context is full";
    case FinishReason::kCancelled:
      return "interrupted";
    case FinishReason::kError:
      break;
  }
  return "error";
}

int64_t Answer::num_tokens() const {
  int64_t total = 0;
  for (const Choice& choice : choices_) total += static_cast<int64_t>(choice.token_ids.size());
  return total;
}

double Answer::tokens_per_second() const {
  const int64_t rest = num_tokens() - static_cast<int64_t>(choices_.size());
  const double seconds = end_ - first_token_;
  return rest > 0 && seconds > 0.0 ? static_cast<double>(rest) / seconds : 0.0;
}

}  // namespace forerun
