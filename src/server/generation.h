#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/choice_text.h"
#include "server/engine_thread.h"
#include "server/exchange.h"
#include "server/model_service.h"
#include "server/request_error.h"

namespace forerun {

// A token of an answer or a prompt.
struct LoggedToken {
  int32_t id = 0;
  std::optional<float> logprob = {};
  std::vector<TokenLogprob> top = {};
};

// One choice of an answer: in a stream, what has come since it was last told; else all of it.
struct GeneratedChoice {
  int index = 0;   // among all choices
  int prompt = 0;  // the index of its prompt
  std::string text = {};
  std::vector<LoggedToken> tokens = {};
  std::vector<LoggedToken> prompt_tokens = {};  // with log-probs; of a prompt's first choice alone
  std::optional<GenerationFinish> finish = {};

  bool has_news() const { return !tokens.empty() || !prompt_tokens.empty() || finish.has_value(); }
};

struct Usage {
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;
  int64_t completion_tokens = 0;
  DraftTokens predicted;  // drafted from the request's prediction
};

// The shape that an endpoint's answers have.
class Reply {
 public:
  virtual ~Reply() = default;
  Reply() = default;
  Reply(const Reply&) = delete;
  Reply& operator=(const Reply&) = delete;

  // The body of the whole answer.
  virtual std::string whole(const std::vector<GeneratedChoice>& choices, const Usage& usage) = 0;

  // Of a stream, each appends its events: for what came to a choice in a step, and after
  // everything.
  virtual void piece(const GeneratedChoice& choice, std::string& events) = 0;
  virtual void end(const Usage& usage, std::string& events) = 0;
};

// All that is needed to generate an answer.
struct GenerationPlan {
  std::vector<std::string> ids;   // what /abort_request may call it
  std::vector<Request> requests;  // one a prompt
  ChoiceTextOptions text = {};
  bool stream = false;
  std::unique_ptr<Reply> reply;
};

// A request under way, from its plan to its answer's last byte. On the I/O thread.
class Generation final : public GenerationListener,
                         public std::enable_shared_from_this<Generation> {
 public:
  // `arrival`: now_seconds() when the request was there.
  static void start(ModelService& service, ExchangePtr exchange, GenerationPlan plan,
                    double arrival);

  Generation(ModelService& service, ExchangePtr exchange, GenerationPlan plan, double arrival);

  void on_accepted() override { accepted_ = true; }
  void on_rejected(const Error& error) override;
  void on_started(const GenerationStart& start) override;
  void on_prompt_token(GenerationPromptToken&& token) override;
  void on_token(GenerationToken token) override;
  void on_finish(GenerationFinish finish) override;
  void on_step_end() override;

 private:
  struct Choice {
    GeneratedChoice told;
    std::optional<ChoiceText> text = {};  // none without a tokenizer
    double last_token = -1.0;
  };
  struct Prompt {
    int unfinished = 0;  // choices
    int64_t cached_tokens = 0;
    int64_t prompt_tokens = 0;
    int64_t completion_tokens = 0;
    DraftTokens predicted;
    double started = -1.0;
    double first_token = -1.0;
    double last_token = -1.0;
  };

  void make_choices();
  void submit();
  void count(const Prompt& prompt, const GenerationFinish& finish);
  void stream_news();
  void reply_whole();
  void fail(const RequestError& error);
  void close();
  Usage usage() const;

  ModelService& service_;
  ExchangePtr exchange_;  // null when everything is said
  GenerationPlan plan_;
  const double arrival_;
  const uint64_t salt_;
  EngineThread::Ticket ticket_ = 0;
  bool accepted_ = false;
  bool begun_ = false;  // the stream
  int unfinished_ = 0;  // choices
  std::string engine_error_;
  std::vector<Choice> choices_;
  std::vector<Prompt> prompts_;
};

}  // namespace forerun
