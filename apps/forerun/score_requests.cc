#include "score_requests.h"

#include <algorithm>
#include <array>
#include <utility>

namespace forerun {
namespace {

// What Python's str.rstrip() takes away, in UTF-8.
constexpr std::array<std::string_view, 29> kBlanks = {
    " ",      "\t",     "\n",     "\v",     "\f",     "\r",     "\x1c",   "\x1d",
    "\x1e",   "\x1f",   "\u0085", "\u00a0", "\u1680", "\u2000", "\u2001", "\u2002",
    "\u2003", "\u2004", "\u2005", "\u2006", "\u2007", "\u2008", "\u2009", "\u200a",
    "\u2028", "\u2029", "\u202f", "\u205f", "\u3000"};

// Cutting a text into tokens takes some fifteen times its size in memory.
constexpr size_t kMostBytes = 16'000'000;

size_t size_without_blanks_at_end(std::string_view text) {
  const auto ends_with = [&](std::string_view blank) { return text.ends_with(blank); };
  while (true) {
    const auto* const blank = std::find_if(kBlanks.begin(), kBlanks.end(), ends_with);
    if (blank == kBlanks.end()) return text.size();
    text.remove_suffix(blank->size());
  }
}

size_t blanks_at_beginning(std::string_view text) {
  const size_t whole = text.size();
  const auto begins_with = [&](std::string_view blank) { return text.starts_with(blank); };
  while (true) {
    const auto* const blank = std::find_if(kBlanks.begin(), kBlanks.end(), begins_with);
    if (blank == kBlanks.end()) return whole - text.size();
    text.remove_prefix(blank->size());
  }
}

int64_t bytes_of(std::string_view continuation) {
  return static_cast<int64_t>(continuation.size() - blanks_at_beginning(continuation));
}

// What stands in `field`, or null.
const Json* find(const Json& object, const char* field) {
  const auto found = object.find(field);
  return found == object.end() ? nullptr : &*found;
}

Result<std::optional<size_t>> read_answer(const Json& line, size_t num_choices) {
  const Json* answer = find(line, "answer");
  if (answer == nullptr) return std::optional<size_t>();
  const bool fits = answer->is_number_integer() && *answer >= 0 && *answer < num_choices;
  if (fits) return std::optional<size_t>(answer->get<size_t>());
  return Error{"answer must be the index of a choice, 0 to " + std::to_string(num_choices - 1)};
}

}  // namespace

ScoreRequestReader::ScoreRequestReader(const Tokenizer* tokenizer, int64_t vocab_size,
                                       int64_t context_length)
    : tokenizer_(tokenizer), vocab_size_(vocab_size), context_length_(context_length) {
  if (tokenizer_ == nullptr || tokenizer_->bos_id() == kNoToken) return;
  const auto nothing = tokenizer_->encode("", /*add_special=*/true, /*parse_special=*/false);
  const int32_t bos = tokenizer_->bos_id();
  if (nothing.ok() && !nothing->empty() && nothing->front() == bos) beginning_ = {bos};
}

Result<std::vector<ScoreQuestion>> ScoreRequestReader::read(std::string_view lines) const {
  std::vector<ScoreQuestion> questions;
  for (int64_t number = 1; !lines.empty(); ++number) {
    const size_t end = std::min(lines.find('\n'), lines.size());
    const std::string_view line = lines.substr(0, end);
    lines.remove_prefix(std::min(end + 1, lines.size()));
    if (blanks_at_beginning(line) == line.size()) continue;
    Result<ScoreQuestion> question = read_line(line);
    if (!question.ok()) {
      return Error{"line " + std::to_string(number) + ": " + question.error().message};
    }
    questions.push_back(std::move(*question));
  }
  if (questions.empty()) return Error{"there are no requests"};
  return questions;
}

Result<ScoreQuestion> ScoreRequestReader::read_line(std::string_view text) const {
  const Result<Json> line = parse_json(text);
  if (!line.ok()) return line.error();
  if (!line->is_object()) return Error{"a request is a JSON object"};
  const Json* context = find(*line, "context");
  if (context == nullptr) return Error{"context is missing"};
  const Json* continuation = find(*line, "continuation");
  const Json* choices = find(*line, "choices");
  if ((continuation == nullptr) == (choices == nullptr)) {
    return Error{"a request has a continuation or choices, one of the two"};
  }
  ScoreQuestion question;
  question.has_choices = choices != nullptr;
  if (question.has_choices && (!choices->is_array() || choices->empty())) {
    return Error{"choices must be a list with something in it"};
  }
  const Json one = Json::array({continuation != nullptr ? *continuation : Json()});
  for (const Json& choice : question.has_choices ? *choices : one) {
    Result<Continuation> made = make(*context, choice);
    if (!made.ok()) return made.error();
    question.continuations.push_back(std::move(*made));
  }
  if (!question.has_choices) return question;
  const auto answer = read_answer(*line, question.continuations.size());
  if (!answer.ok()) return answer.error();
  question.answer = *answer;
  return question;
}

Result<Continuation> ScoreRequestReader::make(const Json& context, const Json& continuation) const {
  if (context.is_string() && continuation.is_string()) {
    return make_of_texts(context.get<std::string>(), continuation.get<std::string>());
  }
  if (!context.is_array() || !continuation.is_array()) {
    return Error{"context and continuation must both be texts, or both lists of token ids"};
  }
  Result<std::vector<int32_t>> context_ids = read_ids(context, "context");
  if (!context_ids.ok()) return context_ids.error();
  Result<std::vector<int32_t>> continuation_ids = read_ids(continuation, "continuation");
  if (!continuation_ids.ok()) return continuation_ids.error();
  return make_of_ids(std::move(*context_ids), std::move(*continuation_ids));
}

Result<Continuation> ScoreRequestReader::make_of_texts(std::string context,
                                                       std::string continuation) const {
  if (tokenizer_ == nullptr) {
    return Error{"the model has no tokenizer to read texts with; give lists of token ids"};
  }
  if (context.size() + continuation.size() > kMostBytes) {
    return Error{"context and continuation have " +
                 std::to_string(context.size() + continuation.size()) + " bytes; the limit is " +
                 std::to_string(kMostBytes)};
  }
  const int64_t num_bytes = bytes_of(continuation);
  const size_t kept = size_without_blanks_at_end(context);
  continuation = context.substr(kept) + continuation;
  context.resize(kept);
  const auto encode = [&](const std::string& text) {
    return tokenizer_->encode(text, /*add_special=*/false, /*parse_special=*/true);
  };
  Result<std::vector<int32_t>> whole = encode(context + continuation);
  if (!whole.ok()) return whole.error();
  Result<std::vector<int32_t>> context_ids = encode(context);
  if (!context_ids.ok()) return context_ids.error();
  const auto cut =
      whole->begin() + static_cast<int64_t>(std::min(context_ids->size(), whole->size()));
  std::vector<int32_t> before = context.empty() ? std::vector<int32_t>() : beginning_;
  before.insert(before.end(), whole->begin(), cut);
  Result<Continuation> made = join(std::move(before), {cut, whole->end()});
  if (made.ok()) made->num_bytes = num_bytes;
  return made;
}

Result<Continuation> ScoreRequestReader::make_of_ids(std::vector<int32_t> context,
                                                     std::vector<int32_t> continuation) const {
  const std::string text = tokenizer_ == nullptr ? "" : tokenizer_->decode(continuation);
  Result<Continuation> made = join(std::move(context), std::move(continuation));
  if (made.ok()) made->num_bytes = bytes_of(text);
  return made;
}

Result<std::vector<int32_t>> ScoreRequestReader::read_ids(const Json& ids,
                                                          std::string_view field) const {
  std::vector<int32_t> read;
  for (const Json& id : ids) {
    if (!id.is_number_integer() || id < 0 || id >= vocab_size_) {
      return Error{std::string(field) + " holds " + id.dump().substr(0, 40) +
                   "; token ids go from 0 to " + std::to_string(vocab_size_ - 1)};
    }
    read.push_back(id.get<int32_t>());
  }
  return read;
}

Result<Continuation> ScoreRequestReader::join(std::vector<int32_t> context,
                                              std::vector<int32_t> continuation) const {
  if (continuation.empty()) return Error{"the continuation has no tokens of its own"};
  if (context.empty()) {
    const int32_t bos = tokenizer_ == nullptr ? kNoToken : tokenizer_->bos_id();
    const int32_t eos = tokenizer_ == nullptr ? kNoToken : tokenizer_->eos_id();
    if (bos == kNoToken && eos == kNoToken) {
      return Error{"the context is empty, and the model has no token to begin a text with"};
    }
    context = {bos != kNoToken ? bos : eos};
  }
  const auto size = static_cast<int64_t>(continuation.size());
  if (size >= context_length_) {
    return Error{"the continuation has " + std::to_string(size) + " tokens; the model holds " +
                 std::to_string(context_length_) + ", and one must be left for the context"};
  }
  Continuation made;
  const int64_t kept = std::min(static_cast<int64_t>(context.size()), context_length_ - size);
  made.truncated = kept < static_cast<int64_t>(context.size());
  made.text.tokens.assign(context.end() - kept, context.end());
  made.text.tokens.insert(made.text.tokens.end(), continuation.begin(), continuation.end());
  made.text.first = kept;
  return made;
}

}  // namespace forerun
