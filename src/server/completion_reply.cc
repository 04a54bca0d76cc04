#include "server/completion_reply.h"

#include <utility>

namespace forerun {
namespace {

std::string ids_json(const std::vector<int32_t>& ids) {
  return OrderedJson(ids).dump();
}

}  // namespace

CompletionReply::CompletionReply(const Tokenizer* tokenizer, CompletionForm form)
    : tokenizer_(tokenizer), form_(std::move(form)), head_(form_.answer.head.json()) {}

std::string CompletionReply::whole(const std::vector<GeneratedChoice>& choices,
                                   const Usage& usage) {
  std::string body = "{" + head_ + "\"choices\":[";
  const GeneratedChoice* first = nullptr;  // of the same prompt
  for (const GeneratedChoice& choice : choices) {
    if (first == nullptr || first->prompt != choice.prompt) first = &choice;
    if (body.back() != '[') body += ',';
    body += choice_json(choice, *first);
  }
  return body + "],\"usage\":" + usage_json(usage) + "}";
}

void CompletionReply::piece(const GeneratedChoice& choice, std::string& events) {
  events += "data: {" + head_ + "\"choices\":[" + choice_json(choice, choice) + "]";
  if (form_.answer.include_usage) events += ",\"usage\":null";
  events += "}\n\n";
}

void CompletionReply::end(const Usage& usage, std::string& events) {
  if (!form_.answer.include_usage) return;
  events += "data: {" + head_ + "\"choices\":[],\"usage\":" + usage_json(usage) + "}\n\n";
}

CompletionReply::Told& CompletionReply::told(const GeneratedChoice& choice) {
  while (told_.size() <= static_cast<size_t>(choice.index)) {
    told_.push_back({CompletionLogprobs(tokenizer_, form_.answer.tokens_as_ids)});
  }
  return told_[choice.index];
}

std::string CompletionReply::text_of(const GeneratedChoice& choice, bool first) const {
  return first && form_.echo ? form_.prompt_texts[choice.prompt] + choice.text : choice.text;
}

// A prompt's log-probs come with its first choice, and hold for all.
std::string CompletionReply::logprobs_of(const GeneratedChoice& choice,
                                         const GeneratedChoice& first_choice) {
  if (!form_.logprobs) return "null";
  Told& told = this->told(choice);
  if (form_.echo) {
    if (!told.begun) {
      told.logprobs.add(std::vector<LoggedToken>{{form_.prompt_ids[choice.prompt].front()}});
    }
    told.logprobs.add(first_choice.prompt_tokens);
  }
  // The token that ended it too, as vLLM does: lm-eval counts on one token after the prompt.
  told.logprobs.add(choice.tokens);
  // A token's bytes need not be UTF-8 that a dump takes; names are.
  return told.logprobs.take().dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}

std::string CompletionReply::choice_json(const GeneratedChoice& choice,
                                         const GeneratedChoice& first_choice) {
  const std::string logprobs = logprobs_of(choice, first_choice);
  const bool first = !std::exchange(told(choice).begun, true);
  std::string json = "{\"index\":" + std::to_string(choice.index) + ",\"text\":";
  append_json_string(text_of(choice, first), json);
  json += ",\"logprobs\":" + logprobs + ",\"finish_reason\":";
  json += choice.finish ? finish_reason_json(*choice.finish) : "null";
  if (form_.answer.return_token_ids) {
    if (first) json += ",\"prompt_token_ids\":" + ids_json(form_.prompt_ids[choice.prompt]);
    json += ",\"token_ids\":" + ids_json(ids_of(choice));
  }
  return json + "}";
}

}  // namespace forerun
