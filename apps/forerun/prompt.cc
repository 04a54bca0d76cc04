#include "prompt.h"

namespace forerun {

Result<std::vector<int32_t>> encode_messages(const Tokenizer& tokenizer,
                                             const OrderedJson& messages) {
  ChatOptions chat;
  chat.bos_text = tokenizer.bos_text();
  chat.eos_text = tokenizer.eos_text();
  const Result<std::string> prompt = render_chat(tokenizer.chat_template(), messages, chat);
  if (!prompt.ok()) return prompt.error();
  return tokenizer.encode(*prompt, /*add_special=*/false, /*parse_special=*/true);
}

Result<std::vector<int32_t>> encode_question(const Tokenizer& tokenizer, const std::string& text,
                                             const std::string& system) {
  if (text.empty()) return Error{"the prompt is empty; give some text with -p or -f"};
  if (tokenizer.chat_template().empty()) {
    return Error{"the model has no chat template; give --raw to continue plain text"};
  }
  OrderedJson messages = OrderedJson::array();
  if (!system.empty()) messages.push_back({{"role", "system"}, {"content", system}});
  messages.push_back({{"role", "user"}, {"content", text}});
  return encode_messages(tokenizer, messages);
}

Result<std::vector<int32_t>> encode_beginning(const Tokenizer& tokenizer, const std::string& text) {
  Result<std::vector<int32_t>> ids =
      tokenizer.encode(text, /*add_special=*/true, /*parse_special=*/false);
  if (ids.ok() && ids->empty()) {
    return Error{"the prompt is empty; give some text with -p or -f"};
  }
  return ids;
}

}  // namespace forerun
