#include "server/logprobs_json.h"

#include <algorithm>
#include <utility>

#include "server/answer_text.h"

namespace forerun {
namespace {

OrderedJson chat_token(const Tokenizer* tokenizer, int32_t id, float logprob) {
  OrderedJson bytes = OrderedJson::array();
  if (tokenizer != nullptr) {
    for (const char c : tokenizer->token_bytes(id)) bytes.push_back(static_cast<uint8_t>(c));
  }
  return {{"token", token_text(tokenizer, id)},
          {"logprob", finite_logprob(logprob)},
          {"bytes", std::move(bytes)}};
}

int64_t characters(std::string_view text) {
  return std::ranges::count_if(text, [](char c) { return (c & 0xC0) != 0x80; });
}

}  // namespace

OrderedJson chat_logprobs(const Tokenizer* tokenizer, std::span<const LoggedToken> tokens) {
  OrderedJson content = OrderedJson::array();
  for (const LoggedToken& token : tokens) {
    OrderedJson entry = chat_token(tokenizer, token.id, token.logprob.value_or(0.0f));
    OrderedJson& top = entry["top_logprobs"] = OrderedJson::array();
    for (const TokenLogprob& one : token.top) {
      top.push_back(chat_token(tokenizer, one.token_id, one.logprob));
    }
    content.push_back(std::move(entry));
  }
  return {{"content", std::move(content)}, {"refusal", nullptr}};
}

void CompletionLogprobs::add(std::span<const LoggedToken> tokens) {
  for (const LoggedToken& token : tokens) {
    const std::string text = name(token.id);
    offsets_.push_back(offset_);
    offset_ += characters(token_text(tokenizer_, token.id));
    tokens_.push_back(text);
    if (!token.logprob) {  // nothing predicts a prompt's first token
      logprobs_.push_back(nullptr);
      top_.push_back(nullptr);
      continue;
    }
    logprobs_.push_back(finite_logprob(*token.logprob));
    // Of tokens that look alike the chosen one counts, then the likeliest.
    OrderedJson top = {{text, finite_logprob(*token.logprob)}};
    for (const TokenLogprob& one : token.top) {
      top.emplace(name(one.token_id), finite_logprob(one.logprob));
    }
    top_.push_back(std::move(top));
  }
}

OrderedJson CompletionLogprobs::take() {
  return {{"tokens", std::exchange(tokens_, OrderedJson::array())},
          {"token_logprobs", std::exchange(logprobs_, OrderedJson::array())},
          {"top_logprobs", std::exchange(top_, OrderedJson::array())},
          {"text_offset", std::exchange(offsets_, OrderedJson::array())}};
}

std::string CompletionLogprobs::name(int32_t id) const {
  return as_ids_ || tokenizer_ == nullptr ? "token_id:" + std::to_string(id)
                                          : token_text(tokenizer_, id);
}

}  // namespace forerun
