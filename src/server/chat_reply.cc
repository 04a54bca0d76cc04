#include "server/chat_reply.h"

#include <span>
#include <utility>

#include "server/logprobs_json.h"

namespace forerun {
namespace {

using Kind = MessageDelta::Kind;

// Without the token that ended it, which is no content.
std::span<const LoggedToken> told_tokens(const GeneratedChoice& choice) {
  const std::span<const LoggedToken> tokens(choice.tokens);
  const bool ended_by_id = choice.finish && choice.finish->event.stop_id && !tokens.empty();
  return ended_by_id ? tokens.first(tokens.size() - 1) : tokens;
}

std::string quoted(const char* name, std::string_view text) {
  return "\"" + std::string(name) + "\":" + json_string(text);
}

std::string delta_json(const MessageDelta& delta) {
  const std::string call = "{\"tool_calls\":[{\"index\":" + std::to_string(delta.call) + ",";
  switch (delta.kind) {
    case Kind::kReasoning:
      return "{" + quoted("reasoning_content", delta.text) + "}";
    case Kind::kContent:
      return "{" + quoted("content", delta.text) + "}";
    case Kind::kToolCall:
      return call + quoted("id", delta.id) + ",\"type\":\"function\",\"function\":{" +
             quoted("name", delta.name) + ",\"arguments\":\"\"}}]}";
    case Kind::kArguments:
      break;
  }
  return call + "\"function\":{" + quoted("arguments", delta.text) + "}}]}";
}

std::string calls_json(const AssistantMessage& message) {
  std::string json;
  for (const AssistantMessage::Call& call : message.calls) {
    json += json.empty() ? "" : ",";
    json += "{" + quoted("id", call.id) + ",\"type\":\"function\",\"function\":{" +
            quoted("name", call.name) + "," + quoted("arguments", call.arguments) + "}}";
  }
  return "[" + json + "]";
}

std::string message_json(const AssistantMessage& message) {
  const bool only_calls = message.content.empty() && !message.calls.empty();
  std::string json = "{\"role\":\"assistant\",\"content\":" +
                     (only_calls ? "null" : json_string(message.content)) + ",\"refusal\":null";
  if (!message.reasoning.empty()) json += "," + quoted("reasoning_content", message.reasoning);
  if (!message.calls.empty()) json += ",\"tool_calls\":" + calls_json(message);
  return json + "}";
}

std::string reason_json(const GenerationFinish& finish, bool called) {
  const bool ended = finish.event.reason == FinishReason::kStop;
  return ended && called ? "\"tool_calls\"" : finish_reason_json(finish);
}

}  // namespace

ChatReply::ChatReply(const Tokenizer* tokenizer, ChatForm form)
    : tokenizer_(tokenizer), form_(std::move(form)), head_(form_.answer.head.json()) {}

ChatReply::Told& ChatReply::told(const GeneratedChoice& choice) {
  while (told_.size() <= static_cast<size_t>(choice.index)) {
    told_.emplace_back();
    if (form_.parser) told_.back().parser.emplace(*form_.parser);
  }
  return told_[choice.index];
}

std::vector<MessageDelta> ChatReply::deltas_of(const GeneratedChoice& choice, Told& told) {
  if (!told.parser) {
    if (choice.text.empty()) return {};
    return {{.kind = Kind::kContent, .text = choice.text}};
  }
  std::vector<MessageDelta> deltas = told.parser->push(choice.text);
  if (choice.finish) {
    for (MessageDelta& delta : told.parser->finish()) deltas.push_back(std::move(delta));
  }
  told.called = told.parser->num_calls() > 0;
  return deltas;
}

std::string ChatReply::whole(const std::vector<GeneratedChoice>& choices, const Usage& usage) {
  std::string body = "{" + head_ + "\"choices\":[";
  for (const GeneratedChoice& choice : choices) {
    if (body.back() != '[') body += ',';
    body += whole_choice(choice);
  }
  body += "],\"usage\":" + usage_json(usage);
  if (form_.answer.return_token_ids) {
    body += ",\"prompt_token_ids\":" + OrderedJson(form_.prompt_ids).dump();
  }
  return body + "}";
}

std::string ChatReply::whole_choice(const GeneratedChoice& choice) {
  Told& told = this->told(choice);
  AssistantMessage message;
  for (const MessageDelta& delta : deltas_of(choice, told)) message.add(delta);
  return "{\"index\":" + std::to_string(choice.index) + ",\"message\":" + message_json(message) +
         ",\"logprobs\":" + logprobs_of(choice) +
         ",\"finish_reason\":" + reason_json(*choice.finish, told.called) + token_ids_of(choice) +
         "}";
}

void ChatReply::piece(const GeneratedChoice& choice, std::string& events) {
  Told& told = this->told(choice);
  if (!std::exchange(told.begun, true)) {
    add_event(choice.index, R"({"role":"assistant","content":""})", "", events);
  }
  std::vector<MessageDelta> deltas = deltas_of(choice, told);
  // Log-probs and ids come with the first of the step's events, if need be with an empty one.
  std::string rest = token_ids_of(choice);
  if (form_.logprobs && !choice.tokens.empty())
    rest = ",\"logprobs\":" + logprobs_of(choice) + rest;
  if (deltas.empty() && !rest.empty()) deltas.push_back({.kind = Kind::kContent});
  for (const MessageDelta& delta : deltas) {
    add_event(choice.index, delta_json(delta), std::exchange(rest, {}), events);
  }
  if (!choice.finish) return;
  events += "data: {" + head_ + "\"choices\":[{\"index\":" + std::to_string(choice.index) +
            ",\"delta\":{},\"finish_reason\":" + reason_json(*choice.finish, told.called) + "}]" +
            (form_.answer.include_usage ? ",\"usage\":null" : "") + "}\n\n";
}

void ChatReply::add_event(int index, const std::string& delta, const std::string& rest,
                          std::string& events) const {
  events += "data: {";
  events += head_;
  events += "\"choices\":[{\"index\":";
  events += std::to_string(index);
  events += ",\"delta\":";
  events += delta;
  events += rest;
  events += ",\"finish_reason\":null}]";
  if (form_.answer.include_usage) events += ",\"usage\":null";
  events += "}\n\n";
}

void ChatReply::end(const Usage& usage, std::string& events) {
  if (!form_.answer.include_usage) return;
  events += "data: {" + head_ + "\"choices\":[],\"usage\":" + usage_json(usage) + "}\n\n";
}

std::string ChatReply::logprobs_of(const GeneratedChoice& choice) const {
  if (!form_.logprobs) return "null";
  return chat_logprobs(tokenizer_, told_tokens(choice)).dump();
}

std::string ChatReply::token_ids_of(const GeneratedChoice& choice) const {
  if (!form_.answer.return_token_ids || choice.tokens.empty()) return {};
  return ",\"token_ids\":" + OrderedJson(ids_of(choice)).dump();
}

}  // namespace forerun
