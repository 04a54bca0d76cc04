#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "text/call_object.h"
#include "text/chat_format.h"

namespace forerun {

// A piece of an assistant's message.
struct MessageDelta {
  enum class Kind : uint8_t { kReasoning, kContent, kToolCall, kArguments };
  Kind kind = Kind::kContent;
  std::string text = {};  // of kReasoning, kContent and kArguments: what is to be appended
  int call = 0;           // of kToolCall and kArguments: the call's index
  std::string id = {};    // of kToolCall, and its function's name
  std::string name = {};

  bool operator==(const MessageDelta&) const = default;
};

struct MessageParserOptions {
  ChatFormat format;
  ThinkingStart thinking = ThinkingStart::kNone;
  bool tools = false;                        // the request has some: calls are looked for
  std::vector<std::string> tool_names = {};  // that an answer without a marker may call
  bool parallel_calls = true;                // false: calls after the first are left out
  std::function<uint64_t()> random = {};     // makes the calls' ids; needed with `tools`
};

// A model's text as an assistant's message, piece by piece. What is given out does not depend on
// how the text is cut, and holds no part of a marker: what may begin one is held back. White space
// around reasoning and calls is left out.
//
// A call is told (kToolCall) when its name is known and its arguments begin; they follow as the
// model writes them (kArguments, joined one JSON text). What looked like a call and is none is
// content, as it was written. Arguments that break off or turn out to be no JSON have been told
// already: they stay arguments, up to the mark that ends the call.
//
// Takes time linear in the text, and holds at most 64 KiB of it.
class MessageParser final {
 public:
  explicit MessageParser(MessageParserOptions options);

  std::vector<MessageDelta> push(std::string_view piece);
  // What was held back. Nothing may be pushed afterwards.
  std::vector<MessageDelta> finish();

  int num_calls() const { return num_calls_; }
  // Nothing that may still come would be told: the one call that was wanted is there.
  bool complete() const { return !options_.parallel_calls && num_calls_ > 0 && !in_call(); }

 private:
  enum class State : uint8_t {
    kStart,         // before reasoning, or what shows that there is none
    kReasoning,     // up to </think>
    kAnswerStart,   // before the first byte of the answer
    kContent,       // looks for the mark that opens calls
    kPlain,         // content; no call can come any more
    kBeforeObject,  // after the mark, or a separator
    kObject,
    kBrokenObject,  // arguments that are no JSON, up to the mark that ends the call
    kAfterObject,   // where more may follow without a mark
  };
  using Kind = MessageDelta::Kind;

  bool in_call() const { return state_ == State::kObject || state_ == State::kBrokenObject; }
  void take(char byte);
  void at_start(char byte);
  void in_reasoning(char byte);
  void at_answer_start(char byte);
  void in_content(char byte);
  void in_plain(std::string_view text);
  void before_object(char byte);
  void in_object(char byte);
  void in_broken_object(char byte);
  void after_object(char byte);

  enum class Match : uint8_t { kNone, kPart, kFirst, kSecond };
  // What held_marker_ and the byte are of two markers; the byte is held where it is a part. Each
  // byte that a marker begins with stands in it once, so that what turns out not to be one does not
  // hide the beginning of another.
  Match match(char byte, std::string_view first, std::string_view second);
  std::string take_held();  // white space and half a marker

  void open_calls(std::string_view mark);
  void end_calls();
  void begin_object();
  void end_object();
  bool begin_call();
  // What was held as a call is content, and `rest` comes after it.
  void not_a_call(std::string_view rest);
  std::string new_id() const;

  // White space is held until it is known what follows, unless there is too much of it.
  void tell(Kind kind, std::string_view text);
  void tell_arguments(std::string_view text);
  void append(Kind kind, std::string_view text);

  const MessageParserOptions options_;
  const ToolMarkers& markers_;
  State state_;
  std::string held_marker_;
  std::string held_space_;
  bool skips_space_ = false;  // white space that comes now is left out
  std::string call_text_;     // a call that is not told yet, with the mark before it
  CallObject object_;
  bool told_ = false;   // the object's call
  bool muted_ = false;  // it is one too many
  bool list_opened_ = false;
  bool close_expected_ = false;  // the mark that ends calls may come, and is no content
  int num_calls_ = 0;
  std::vector<MessageDelta> deltas_;
};

// An answer put together from its deltas.
struct AssistantMessage {
  struct Call {
    std::string id;
    std::string name;
    std::string arguments;
  };
  std::string reasoning;
  std::string content;
  std::vector<Call> calls;

  void add(const MessageDelta& delta);
};

}  // namespace forerun
