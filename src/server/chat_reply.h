#pragma once

#include <optional>
#include <string>
#include <vector>

#include "server/generation.h"
#include "server/generation_fields.h"
#include "text/message_parser.h"

namespace forerun {

struct ChatForm {
  AnswerOptions answer;
  bool logprobs = false;
  // How the text is taken apart; none: all of it is content.
  std::optional<MessageParserOptions> parser = {};
  std::vector<int32_t> prompt_ids = {};  // with `answer.return_token_ids`
};

// The answers of /v1/chat/completions.
class ChatReply final : public Reply {
 public:
  ChatReply(const Tokenizer* tokenizer, ChatForm form);

  std::string whole(const std::vector<GeneratedChoice>& choices, const Usage& usage) override;
  void piece(const GeneratedChoice& choice, std::string& events) override;
  void end(const Usage& usage, std::string& events) override;

 private:
  struct Told {
    std::optional<MessageParser> parser = {};
    bool begun = false;
    bool called = false;  // a function
  };
  Told& told(const GeneratedChoice& choice);
  std::vector<MessageDelta> deltas_of(const GeneratedChoice& choice, Told& told);
  std::string whole_choice(const GeneratedChoice& choice);
  std::string logprobs_of(const GeneratedChoice& choice) const;
  std::string token_ids_of(const GeneratedChoice& choice) const;
  // `delta` is an object; `rest` stands behind it in the choice.
  void add_event(int index, const std::string& delta, const std::string& rest,
                 std::string& events) const;

  const Tokenizer* tokenizer_;
  const ChatForm form_;
  const std::string head_;
  std::vector<Told> told_;  // by choice
};

}  // namespace forerun
