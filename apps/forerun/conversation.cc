#include "conversation.h"

#include "prompt.h"

namespace forerun {

void Conversation::clear() {
  turns_.clear();
  first_remembered_ = 0;
}

Result<Conversation::Prompt> Conversation::prompt(int64_t wished_tokens, int64_t most_tokens) {
  Prompt prompt;
  size_t first = first_remembered_;
  while (true) {
    Result<std::vector<int32_t>> tokens = encode_messages(tokenizer_, messages(first));
    if (!tokens.ok()) return tokens.error();
    const auto num_tokens = static_cast<int64_t>(tokens->size());
    const size_t before = turns_.size() - 1 - first;  // turns that may be forgotten
    if (num_tokens <= (before > 0 ? wished_tokens : most_tokens)) {
      prompt.tokens = std::move(*tokens);
      prompt.forgotten_turns = static_cast<int>(first - first_remembered_);
      first_remembered_ = first;
      return prompt;
    }
    if (before == 0) {
      return Error{"the message takes " + std::to_string(num_tokens) +
                   " tokens with what goes before it; there is room for " +
                   std::to_string(most_tokens) + ": shorten it"};
    }
    first += (before + 1) / 2;
  }
}

OrderedJson Conversation::messages(size_t first_turn) const {
  OrderedJson messages = OrderedJson::array();
  const auto add = [&](const char* role, const std::string& content) {
    messages.push_back({{"role", role}, {"content", content}});
  };
  if (!system_.empty()) add("system", system_);
  for (size_t i = first_turn; i < turns_.size(); ++i) {
    add("user", turns_[i].question);
    if (turns_[i].answer) add("assistant", *turns_[i].answer);
  }
  return messages;
}

Json Conversation::json() const {
  return {{"messages", Json(messages(0))}};
}

}  // namespace forerun
