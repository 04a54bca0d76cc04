#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace forerun {

// What a person and a model have said to each other, and the prompt it makes. Borrows the
// tokenizer, which has a chat template.
class Conversation final {
 public:
  explicit Conversation(const Tokenizer& tokenizer, std::string system = "")
      : tokenizer_(tokenizer), system_(std::move(system)) {}

  const std::string& system() const { return system_; }
  void set_system(std::string text) { system_ = std::move(text); }
  // Forgets everything but the system message.
  void clear();

  bool empty() const { return turns_.empty(); }
  void ask(std::string question) { turns_.push_back({std::move(question), std::nullopt}); }
  void answer(std::string text) { turns_.back().answer = std::move(text); }
  void take_back_answer() { turns_.back().answer.reset(); }
  void take_back_question() { turns_.pop_back(); }

  struct Prompt {
    std::vector<int32_t> tokens;
    int forgotten_turns = 0;  // by this call
  };
  // The prompt for an answer to the last question. Where it would be longer than `wished_tokens`
  // the older half of the turns is forgotten, and again, until it is not; the last question alone
  // may take `most_tokens`. An Error when that is too long, or the template refuses.
  Result<Prompt> prompt(int64_t wished_tokens, int64_t most_tokens);

  // {"messages": [{"role", "content"}, …]}, what was forgotten too.
  Json json() const;

 private:
  struct Turn {
    std::string question;
    std::optional<std::string> answer;
  };

  OrderedJson messages(size_t first_turn) const;

  const Tokenizer& tokenizer_;
  std::string system_;
  std::vector<Turn> turns_;
  size_t first_remembered_ = 0;
};

}  // namespace forerun
