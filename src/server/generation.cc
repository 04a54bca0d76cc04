#include "server/generation.h"

#include <utility>

#include "base/clock.h"
#include "server/conversation.h"
#include "server/errors.h"

namespace forerun {
namespace {

RequestError refused(EngineThread::Refusal refusal) {
  if (refusal == EngineThread::Refusal::kDraining) {
    return {503, "the server is shutting down and takes no more requests", {}, {}};
  }
  return {429, "too many requests are waiting; try again later", {}, {}};
}

// As vLLM's metrics call it.
std::string finished_reason(FinishReason reason) {
  return reason == FinishReason::kCancelled ? "abort" : std::string(finish_reason_name(reason));
}

double between(double begin, double end) {
  return begin < 0.0 || end < 0.0 ? -1.0 : end - begin;
}

}  // namespace

void Generation::start(ModelService& service, ExchangePtr exchange, GenerationPlan plan,
                       double arrival) {
  const auto generation =
      std::make_shared<Generation>(service, std::move(exchange), std::move(plan), arrival);
  generation->submit();
}

Generation::Generation(ModelService& service, ExchangePtr exchange, GenerationPlan plan,
                       double arrival)
    : service_(service),
      exchange_(std::move(exchange)),
      plan_(std::move(plan)),
      arrival_(arrival),
      salt_(exchange_->request().salt) {
  make_choices();
}

void Generation::make_choices() {
  for (const Request& request : plan_.requests) {
    const auto prompt = static_cast<int>(prompts_.size());
    prompts_.emplace_back();
    prompts_.back().unfinished = request.n;
    prompts_.back().prompt_tokens = static_cast<int64_t>(request.prompt.size());
    for (int i = 0; i < request.n; ++i) {
      Choice& choice = choices_.emplace_back();
      choice.told.index = unfinished_++;
      choice.told.prompt = prompt;
      if (service_.tokenizer != nullptr) {
        choice.text.emplace(*service_.tokenizer, request, plan_.text);
      }
    }
  }
}

void Generation::submit() {
  for (Request& request : plan_.requests) {
    request.salt = salt_;
    if (!exchange_->request().is_recorded) request.conversation.reset();
    if (!request.history_salt) continue;  // nothing of it is to be kept
    request.history_salt = exchange_->request().history_salt;
    if (service_.records && exchange_->request().is_recorded && !request.conversation) {
      request.conversation = conversation_of_prompt(request.prompt);
    }
  }
  const EngineThread::Submitted submitted =
      service_.engine.submit(std::exchange(plan_.requests, {}), shared_from_this());
  if (submitted.refusal) return fail(refused(*submitted.refusal));
  ticket_ = submitted.ticket;
  for (const std::string& id : plan_.ids) service_.running.add(salt_, id, ticket_);
  exchange_->on_abandoned([&engine = service_.engine, ticket = ticket_] { engine.cancel(ticket); });
}

void Generation::on_rejected(const Error& error) {
  fail(rejected_by_engine(error));
}

void Generation::on_started(const GenerationStart& start) {
  Prompt& prompt = prompts_[choices_[start.choice].told.prompt];
  prompt.started = start.time;
  prompt.cached_tokens = start.cached_tokens;
}

void Generation::on_prompt_token(GenerationPromptToken&& token) {
  choices_[token.choice].told.prompt_tokens.push_back(
      {token.token_id, token.logprob, std::move(token.top)});
}

void Generation::on_token(GenerationToken token) {
  Choice& choice = choices_[token.choice];
  Prompt& prompt = prompts_[choice.told.prompt];
  if (prompt.first_token < 0.0) prompt.first_token = token.time;
  if (choice.last_token >= 0.0) {
    service_.metrics.observe_inter_token_latency(token.time - choice.last_token);
  }
  prompt.last_token = choice.last_token = token.time;
  if (choice.text) choice.told.text += choice.text->push(token.token_id);
  choice.told.tokens.push_back({token.token_id, token.logprob, std::move(token.top)});
}

void Generation::on_finish(GenerationFinish finish) {
  Choice& choice = choices_[finish.choice];
  Prompt& prompt = prompts_[choice.told.prompt];
  if (choice.text) choice.told.text += choice.text->finish();
  if (finish.event.reason == FinishReason::kError) engine_error_ = finish.error_text;
  prompt.completion_tokens += finish.event.completion_tokens;
  prompt.predicted.add(
      finish.event.drafts.by_source[static_cast<size_t>(DraftSource::kPrediction)]);
  --unfinished_;
  if (--prompt.unfinished == 0) count(prompt, finish);
  choice.told.finish = std::move(finish);
}

void Generation::count(const Prompt& prompt, const GenerationFinish& finish) {
  RequestTimes times;
  times.queued = between(arrival_, prompt.started);
  times.prefill = between(prompt.started, prompt.first_token);
  times.first_token = between(arrival_, prompt.first_token);
  times.decode = between(prompt.first_token, prompt.last_token);
  times.whole = between(arrival_, finish.time);
  service_.metrics.count_finished(finished_reason(finish.event.reason), times, prompt.prompt_tokens,
                                  prompt.completion_tokens);
}

void Generation::on_step_end() {
  if (exchange_ == nullptr || !accepted_) return;
  if (!engine_error_.empty()) {
    service_.engine.cancel(ticket_);
    return fail({500, engine_error_, {}, {}});
  }
  if (plan_.stream) {
    stream_news();
  } else if (unfinished_ == 0) {
    reply_whole();
  }
}

void Generation::stream_news() {
  std::string events;
  if (!std::exchange(begun_, true)) exchange_->begin_stream("text/event-stream");
  for (Choice& choice : choices_) {
    if (!choice.told.has_news()) continue;
    plan_.reply->piece(choice.told, events);
    choice.told.text.clear();
    choice.told.tokens.clear();
    choice.told.prompt_tokens.clear();
    choice.told.finish.reset();
  }
  if (unfinished_ == 0) {
    plan_.reply->end(usage(), events);
    events += "data: [DONE]\n\n";
  }
  if (!events.empty()) exchange_->write(std::move(events));
  if (unfinished_ > 0) return;
  exchange_->end_stream();
  close();
}

void Generation::reply_whole() {
  std::vector<GeneratedChoice> choices;
  choices.reserve(choices_.size());
  for (Choice& choice : choices_) choices.push_back(std::move(choice.told));
  HttpResponse response;
  response.body = plan_.reply->whole(choices, usage());
  exchange_->reply(std::move(response));
  close();
}

void Generation::fail(const RequestError& error) {
  if (exchange_ == nullptr) return;
  if (begun_) {
    exchange_->write("data: " + error_body(error.status, error.message, error.param, error.code) +
                     "\n\ndata: [DONE]\n\n");
    exchange_->end_stream();
  } else {
    exchange_->reply(to_response(error));
  }
  close();
}

void Generation::close() {
  exchange_.reset();
  for (const std::string& id : plan_.ids) service_.running.remove(salt_, id, ticket_);
}

Usage Generation::usage() const {
  Usage usage;
  for (const Prompt& prompt : prompts_) {
    usage.prompt_tokens += prompt.prompt_tokens;
    usage.cached_tokens += prompt.cached_tokens;
    usage.completion_tokens += prompt.completion_tokens;
    usage.predicted.add(prompt.predicted);
  }
  return usage;
}

}  // namespace forerun
