#include "text/message_parser.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace forerun {
namespace {

constexpr size_t kMaxHeldBytes = 64 << 10;  // of a call whose name is not known yet
constexpr size_t kMaxHeldSpaceBytes = 64;

}  // namespace

MessageParser::MessageParser(MessageParserOptions options)
    : options_(std::move(options)),
      markers_(tool_markers(options_.tools ? options_.format.tools : ToolSyntax::kUnknown)),
      state_(options_.thinking == ThinkingStart::kNone ? State::kAnswerStart : State::kStart) {
  CHECK(markers_.open.empty() || options_.random, "calls need ids");
}

std::vector<MessageDelta> MessageParser::push(std::string_view piece) {
  deltas_.clear();
  size_t at = 0;
  for (; at < piece.size() && state_ != State::kPlain; ++at) take(piece[at]);
  in_plain(piece.substr(at));
  return std::move(deltas_);
}

std::vector<MessageDelta> MessageParser::finish() {
  deltas_.clear();
  switch (state_) {
    case State::kStart:
      if (options_.thinking == ThinkingStart::kOpen) {
        append(Kind::kReasoning, held_marker_);
        break;
      }
      [[fallthrough]];
    case State::kAnswerStart:
      append(Kind::kContent, take_held());
      break;
    case State::kReasoning:
      append(Kind::kReasoning, take_held());
      break;
    case State::kContent:
      // What comes after a call is white space before its end, or before nothing.
      if (!close_expected_ || !held_marker_.empty()) append(Kind::kContent, take_held());
      break;
    case State::kBeforeObject:
    case State::kObject:
      append(Kind::kContent, call_text_);
      break;
    case State::kBrokenObject:
      tell_arguments(held_marker_);
      break;
    case State::kPlain:
    case State::kAfterObject:
      break;
  }
  return std::move(deltas_);
}

void MessageParser::take(char byte) {
  switch (state_) {
    case State::kStart:
      return at_start(byte);
    case State::kReasoning:
      return in_reasoning(byte);
    case State::kAnswerStart:
      return at_answer_start(byte);
    case State::kContent:
      return in_content(byte);
    case State::kPlain:
      return in_plain({&byte, 1});
    case State::kBeforeObject:
      return before_object(byte);
    case State::kObject:
      return in_object(byte);
    case State::kBrokenObject:
      return in_broken_object(byte);
    case State::kAfterObject:
      return after_object(byte);
  }
}

void MessageParser::at_start(char byte) {
  const bool space = is_json_space(byte) && held_marker_.empty();
  if (space && held_space_.size() < kMaxHeldSpaceBytes) {
    held_space_ += byte;
    return;
  }
  const Match found = match(byte, kThinkOpen, {});
  if (found == Match::kPart) return;
  const bool reasons = found == Match::kFirst || options_.thinking == ThinkingStart::kOpen;
  std::string text = take_held();
  if (found == Match::kFirst) {
    text.clear();
  } else {
    text += byte;
  }
  skips_space_ = reasons;
  state_ = reasons ? State::kReasoning : State::kAnswerStart;
  for (const char held : text) take(held);
}

void MessageParser::in_reasoning(char byte) {
  switch (match(byte, kThinkClose, {})) {
    case Match::kPart:
      return;
    case Match::kNone:
      if (held_marker_.empty()) return tell(Kind::kReasoning, {&byte, 1});
      tell(Kind::kReasoning, std::exchange(held_marker_, {}));
      return in_reasoning(byte);
    default:
      take_held();
      skips_space_ = true;
      state_ = State::kAnswerStart;
  }
}

void MessageParser::at_answer_start(char byte) {
  if (markers_.open.empty()) {
    state_ = State::kPlain;
    return in_plain({&byte, 1});
  }
  if (!markers_.open_is_optional) {
    state_ = State::kContent;
    return in_content(byte);
  }
  const bool space = is_json_space(byte) && held_marker_.empty();
  if (space && held_space_.size() < kMaxHeldSpaceBytes) {
    if (!skips_space_) held_space_ += byte;
    return;
  }
  if (byte == '{' && held_marker_.empty()) {
    open_calls({});
    return before_object(byte);
  }
  switch (match(byte, markers_.open, {})) {
    case Match::kPart:
      return;
    case Match::kNone:
      state_ = State::kPlain;
      in_plain(take_held());
      return in_plain({&byte, 1});
    default:
      return open_calls(markers_.open);
  }
}

void MessageParser::in_content(char byte) {
  switch (match(byte, markers_.open, close_expected_ ? markers_.close : std::string_view())) {
    case Match::kPart:
      return;
    case Match::kNone:
      if (held_marker_.empty()) return tell(Kind::kContent, {&byte, 1});
      tell(Kind::kContent, std::exchange(held_marker_, {}));
      return in_content(byte);
    case Match::kFirst:
      return open_calls(markers_.open);
    case Match::kSecond:
      return end_calls();
  }
}

void MessageParser::in_plain(std::string_view text) {
  if (skips_space_) {
    const auto first = std::ranges::find_if_not(text, is_json_space);
    text.remove_prefix(static_cast<size_t>(first - text.begin()));
    skips_space_ = text.empty();
  }
  append(Kind::kContent, text);
}

void MessageParser::before_object(char byte) {
  const std::string_view list_open = markers_.list_open;
  const bool opens_list = !list_opened_ && list_open == std::string_view(&byte, 1);
  const bool opens_object = (list_opened_ || list_open.empty()) && byte == '{';
  const bool fits = is_json_space(byte) || opens_list || opens_object;
  if (!fits || call_text_.size() >= kMaxHeldBytes) return not_a_call({&byte, 1});
  call_text_ += byte;
  if (opens_list) list_opened_ = true;
  if (opens_object) begin_object();
}

void MessageParser::in_object(char byte) {
  switch (object_.push(byte)) {
    case CallObject::Step::kMore:
      if (told_) return;
      call_text_ += byte;
      if (call_text_.size() > kMaxHeldBytes) not_a_call({});
      return;
    case CallObject::Step::kArguments:
      if (!begin_call()) return not_a_call({&byte, 1});
      return tell_arguments({&byte, 1});
    case CallObject::Step::kDone:
      if (!begin_call()) return not_a_call({&byte, 1});
      if (object_.untold_arguments()) tell_arguments(*object_.untold_arguments());
      return end_object();
    case CallObject::Step::kError:
      if (!told_) return not_a_call({&byte, 1});
      if (object_.has_arguments()) {
        end_object();
      } else {
        state_ = State::kBrokenObject;
      }
      return take(byte);
  }
}

void MessageParser::in_broken_object(char byte) {
  // "]" may be anywhere in JSON.
  const bool has_mark = markers_.close.size() > 1;
  switch (match(byte, has_mark ? markers_.close : std::string_view(), {})) {
    case Match::kPart:
      return;
    case Match::kNone:
      if (held_marker_.empty()) return tell_arguments({&byte, 1});
      tell_arguments(std::exchange(held_marker_, {}));
      return in_broken_object(byte);
    default:
      return end_calls();
  }
}

void MessageParser::after_object(char byte) {
  const std::string_view text(&byte, 1);
  if (text == markers_.close) return end_calls();
  const bool separates = text == markers_.separator;
  const bool fits = separates || is_json_space(byte);
  if (!fits || call_text_.size() >= kMaxHeldBytes) return not_a_call(text);
  call_text_ += byte;
  if (separates) state_ = State::kBeforeObject;
}

MessageParser::Match MessageParser::match(char byte, std::string_view first,
                                          std::string_view second) {
  held_marker_ += byte;
  const bool whole = held_marker_ == first || held_marker_ == second;
  if (whole) {
    const Match found = held_marker_ == first ? Match::kFirst : Match::kSecond;
    held_marker_.clear();
    return found;
  }
  if (first.starts_with(held_marker_) || second.starts_with(held_marker_)) return Match::kPart;
  held_marker_.pop_back();
  return Match::kNone;
}

std::string MessageParser::take_held() {
  return std::exchange(held_space_, {}) + std::exchange(held_marker_, {});
}

void MessageParser::open_calls(std::string_view mark) {
  call_text_ = std::exchange(held_space_, {});
  call_text_ += mark;
  list_opened_ = false;
  close_expected_ = false;
  state_ = State::kBeforeObject;
}

void MessageParser::end_calls() {
  held_space_.clear();
  call_text_.clear();
  close_expected_ = false;
  skips_space_ = true;
  state_ = State::kContent;
}

void MessageParser::begin_object() {
  object_ = CallObject();
  object_.push('{');
  told_ = false;
  state_ = State::kObject;
}

void MessageParser::end_object() {
  call_text_.clear();
  close_expected_ = !markers_.close.empty();
  state_ = markers_.separator.empty() ? State::kContent : State::kAfterObject;
}

// True when the call is told, now or before.
bool MessageParser::begin_call() {
  if (told_) return true;
  const auto& names = options_.tool_names;
  const bool known = std::ranges::find(names, object_.name()) != names.end();
  if (markers_.open_is_optional && !known) return false;
  told_ = true;
  call_text_.clear();
  muted_ = !options_.parallel_calls && num_calls_ > 0;
  if (muted_) return true;
  deltas_.push_back({Kind::kToolCall, "", num_calls_, new_id(), object_.name()});
  ++num_calls_;
  return true;
}

void MessageParser::not_a_call(std::string_view rest) {
  append(Kind::kContent, std::exchange(call_text_, {}));
  skips_space_ = false;
  state_ = markers_.open_is_optional ? State::kPlain : State::kContent;
  for (const char byte : rest) take(byte);
}

std::string MessageParser::new_id() const {
  constexpr std::string_view kAlphabet =
      "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  std::string id = "call_";
  for (int i = 0; i < 24; ++i) id += kAlphabet[options_.random() % kAlphabet.size()];
  return id;
}

void MessageParser::tell(Kind kind, std::string_view text) {
  for (const char byte : text) {
    if (is_json_space(byte)) {
      if (!skips_space_) held_space_ += byte;
      if (held_space_.size() <= kMaxHeldSpaceBytes) continue;
    } else {
      held_space_ += byte;
      skips_space_ = false;
    }
    append(kind, std::exchange(held_space_, {}));
  }
}

void MessageParser::tell_arguments(std::string_view text) {
  if (!muted_) append(Kind::kArguments, text);
}

void MessageParser::append(Kind kind, std::string_view text) {
  if (text.empty()) return;
  if (deltas_.empty() || deltas_.back().kind != kind) {
    deltas_.push_back({.kind = kind});
    if (kind == Kind::kArguments) deltas_.back().call = num_calls_ - 1;
  }
  deltas_.back().text += text;
}

void AssistantMessage::add(const MessageDelta& delta) {
  switch (delta.kind) {
    case MessageDelta::Kind::kReasoning:
      reasoning += delta.text;
      break;
    case MessageDelta::Kind::kContent:
      content += delta.text;
      break;
    case MessageDelta::Kind::kToolCall:
      calls.push_back({delta.id, delta.name, ""});
      break;
    case MessageDelta::Kind::kArguments:
      calls[static_cast<size_t>(delta.call)].arguments += delta.text;
      break;
  }
}

}  // namespace forerun
