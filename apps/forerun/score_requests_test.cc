#include "score_requests.h"

#include <gtest/gtest.h>

#include "text/byte_tokenizer.h"

namespace forerun {
namespace {

constexpr int32_t kBos = 256;
constexpr int32_t kEos = 257;

// A token a byte, BOS, EOS, and "hello". A space is spelled ▁.
Tokenizer words_and_bytes(bool add_bos) {
  TokenizerSpec spec = byte_tokens();
  for (const char* token : {"<s>", "</s>"}) {
    add_token(spec, token, TokenKind::kControl);
  }
  // "hello" is a user-defined token: it is one wherever it stands.
  add_token(spec, "hello", TokenKind::kUserDefined);
  add_token(spec, "<unk>", TokenKind::kUnknown);
  spec.bos_id = kBos;
  spec.eos_id = kEos;
  spec.unknown_id = 259;
  spec.end_ids = {kEos};
  spec.add_bos = add_bos;
  return make_tokenizer(spec);
}

const Tokenizer& tokenizer(bool add_bos) {
  static const Tokenizer with = words_and_bytes(true);
  static const Tokenizer without = words_and_bytes(false);
  return add_bos ? with : without;
}

Result<std::vector<ScoreQuestion>> read(const std::string& lines, bool add_bos = false,
                                        int64_t context_length = 100) {
  return ScoreRequestReader(&tokenizer(add_bos), 260, context_length).read(lines);
}

// "context|continuation", ids above the bytes in braces.
std::string cut(const Continuation& continuation) {
  std::string text;
  for (size_t i = 0; i < continuation.text.tokens.size(); ++i) {
    if (static_cast<int64_t>(i) == continuation.text.first) text += '|';
    const int32_t id = continuation.text.tokens[i];
    text += id < 256 ? std::string(1, static_cast<char>(id)) : "{" + std::to_string(id) + "}";
  }
  return text;
}

std::string cut_line(const std::string& line, bool add_bos = false, int64_t context_length = 100) {
  const auto read_line = read(line, add_bos, context_length);
  return read_line.ok() ? cut((*read_line)[0].continuations[0]) : read_line.error().message;
}

TEST(ScoreRequests, TextsAreTokenisedTogetherAndCutWhereTheContextEnds) {
  EXPECT_EQ(cut_line(R"({"context": "ab", "continuation": " cd"})"), "ab|▁cd");
  EXPECT_EQ(cut_line(R"({"context": "ab", "continuation": " cd"})", /*add_bos=*/true),
            "{256}ab|▁cd");
  // The context alone is four tokens; together they are "hello", the three bytes of ▁, and more.
  EXPECT_EQ(cut_line(R"({"context": "hell", "continuation": "o world"})"), "{258}▁|world");
  // Special tokens are read as such.
  EXPECT_EQ(cut_line(R"({"context": "a</s>", "continuation": "b"})"), "a{257}|b");
}

TEST(ScoreRequests, BlanksAtTheContextsEndGoToTheContinuation) {
  EXPECT_EQ(cut_line(R"({"context": "ab \n", "continuation": "cd"})"), "ab|▁\ncd");
  EXPECT_EQ(cut_line("{\"context\": \"a\\u3000\\u00a0\", \"continuation\": \"b\"}"),
            "a|\u3000\u00a0b");
}

TEST(ScoreRequests, AnEmptyContextIsTheBeginningOfAText) {
  EXPECT_EQ(cut_line(R"({"context": "", "continuation": "ab"})"), "{256}|ab");
  EXPECT_EQ(cut_line(R"({"context": "", "continuation": "ab"})", /*add_bos=*/true), "{256}|ab");
  EXPECT_EQ(cut_line(R"({"context": " ", "continuation": "ab"})"), "{256}|▁ab");
  EXPECT_EQ(cut_line(R"({"context": [], "continuation": [65]})"), "{256}|A");
}

TEST(ScoreRequests, TokenIdsAreTakenAsTheyAre) {
  EXPECT_EQ(cut_line(R"({"context": [97, 98], "continuation": [258, 99]})", /*add_bos=*/true),
            "ab|{258}c");
  const auto without =
      ScoreRequestReader(nullptr, 260, 100).read(R"({"context": [97], "continuation": [98]})");
  EXPECT_EQ(cut((*without)[0].continuations[0]), "a|b");
}

TEST(ScoreRequests, ALongContextLosesItsBeginning) {
  const auto questions =
      read(R"({"context": "abcdef", "continuation": "gh"})", /*add_bos=*/false, 5);
  EXPECT_EQ(cut((*questions)[0].continuations[0]), "def|gh");
  EXPECT_TRUE((*questions)[0].continuations[0].truncated);
  EXPECT_FALSE((*read(R"({"context": "abc", "continuation": "gh"})", false, 5))[0]
                   .continuations[0]
                   .truncated);
}

TEST(ScoreRequests, ChoicesAndTheirBytes) {
  const auto questions = read(
      "{\"context\": \"a\", \"choices\": [\" b\", \" ß\", \"c d\"], \"answer\": 1}\n\n"
      "{\"context\": [97], \"choices\": [[98, 99]]}\n");
  ASSERT_TRUE(questions.ok()) << questions.error().message;
  ASSERT_EQ(questions->size(), 2u);
  const ScoreQuestion& first = (*questions)[0];
  EXPECT_TRUE(first.has_choices);
  EXPECT_EQ(first.answer, 1u);
  ASSERT_EQ(first.continuations.size(), 3u);
  EXPECT_EQ(first.continuations[0].num_bytes, 1);
  EXPECT_EQ(first.continuations[1].num_bytes, 2);
  EXPECT_EQ(first.continuations[2].num_bytes, 3);
}

TEST(ScoreRequests, LinesThatCannotBe) {
  const std::pair<const char*, const char*> refused[] = {
      {"", "there are no requests"},
      {"\n \n", "there are no requests"},
      {"{", "line 1: invalid JSON"},
      {"\n[]", "line 2: a request is a JSON object"},
      {R"({"continuation": "b"})", "line 1: context is missing"},
      {R"({"context": "a"})", "line 1: a request has a continuation or choices, one of the two"},
      {R"({"context": "a", "continuation": "b", "choices": ["c"]})", "one of the two"},
      {R"({"context": "a", "choices": []})", "choices must be a list with something in it"},
      {R"({"context": "a", "choices": "b"})", "choices must be a list with something in it"},
      {R"({"context": "a", "choices": ["b"], "answer": 1})",
       "answer must be the index of a choice, 0 to 0"},
      {R"({"context": "a", "choices": ["b"], "answer": -1})", "answer must be"},
      {R"({"context": "a", "choices": ["b"], "answer": "b"})", "answer must be"},
      {R"({"context": "a", "continuation": [98]})", "must both be texts, or both lists"},
      {R"({"context": "a", "continuation": null})", "must both be texts, or both lists"},
      {R"({"context": [97], "continuation": [260]})",
       "continuation holds 260; token ids go from 0 to 259"},
      {R"({"context": [-1], "continuation": [97]})", "context holds -1; token ids go"},
      {R"({"context": [9.5], "continuation": [97]})", "context holds 9.5; token ids go"},
      {R"({"context": [18446744073709551615], "continuation": [97]})", "token ids go from"},
      {R"({"context": "a", "continuation": ""})", "the continuation has no tokens of its own"},
      {R"({"context": "hell", "continuation": "o"})", "the continuation has no tokens of its own"},
  };
  for (const auto& [lines, sentence] : refused) {
    const auto questions = read(lines);
    ASSERT_FALSE(questions.ok()) << lines;
    EXPECT_NE(questions.error().message.find(sentence), std::string::npos)
        << questions.error().message;
  }
  EXPECT_EQ(
      cut_line(R"({"context": "a", "continuation": "bcdef"})", false, 5),
      "line 1: the continuation has 5 tokens; the model holds 5, and one must be left for the "
      "context");
  std::string large;
  large.resize(16'000'000, 'b');
  EXPECT_EQ(cut_line(R"({"context": "a", "continuation": ")" + large + "\"}"),
            "line 1: context and continuation have 16000001 bytes; the limit is 16000000");
  const auto without = ScoreRequestReader(nullptr, 260, 100);
  EXPECT_NE(
      without.read(R"({"context": "a", "continuation": "b"})")
          .error()
          .message.find("the model has no tokenizer to read texts with; give lists of token ids"),
      std::string::npos);
  EXPECT_NE(
      without.read(R"({"context": [], "continuation": [97]})")
          .error()
          .message.find("the context is empty, and the model has no token to begin a text with"),
      std::string::npos);
}

}  // namespace
}  // namespace forerun
