// Requests whose output follows a grammar. The tokenizer knows fewer tokens than the tiny model
// has rows.
#include <gtest/gtest.h>

#include <algorithm>

#include "base/json.h"
#include "engine/engine_fixture.h"
#include "engine/grammar_progress.h"
#include "text/text_fixture.h"

namespace forerun {
namespace {

constexpr int32_t kVocabSize = 320;

const Tokenizer& tokenizer() {
  static const Result<Tokenizer> made = Tokenizer::create(byte_level_fixture());
  return *made;
}

std::shared_ptr<const Grammar> compile(GrammarKind kind, const std::string& text) {
  static const Result<GrammarEnvironment> environment = GrammarEnvironment::create(tokenizer());
  return *environment->compile({kind, text});
}

constexpr char kSchema[] = R"({"type": "object",
  "properties": {"x": {"type": "integer", "minimum": 0, "maximum": 999},
                 "word": {"enum": ["hello", "é"]},
                 "flags": {"type": "array", "items": {"type": "boolean"}, "maxItems": 3}},
  "required": ["x", "word", "flags"], "additionalProperties": false,
  "x-guidance": {"whitespace_flexible": false}})";

EngineOptions options() {
  EngineOptions options = tiny_options();
  options.eos_ids = {kFixtureEnd};
  return options;
}

Request request_of(std::shared_ptr<const Grammar> grammar, uint64_t seed = 1) {
  Request request;
  request.prompt = random_tokens(20, kVocabSize, static_cast<uint32_t>(seed));
  request.grammar = std::move(grammar);
  request.max_tokens = 200;
  request.sampling.seed = seed;
  return request;
}

Request regex_request(const std::string& regex, uint64_t seed = 1) {
  return request_of(compile(GrammarKind::kRegex, regex), seed);
}

Answers run(const Request& request, const EngineOptions& with = options()) {
  RecordedEngine recorded(tiny_model(), available_isas().back(), /*num_threads=*/2, with);
  return recorded.run({request})[0];
}

std::string text_of(const Answer& answer) {
  return tokenizer().decode(answer.token_ids());
}

void expect_fits(const Answer& answer) {
  EXPECT_EQ(answer.reason, FinishReason::kStop) << answer;
  EXPECT_EQ(answer.stop_id, kFixtureEnd);
  const Json json = Json::parse(text_of(answer), nullptr, /*allow_exceptions=*/false);
  ASSERT_TRUE(json.is_object()) << text_of(answer);
  EXPECT_EQ(json.size(), 3u);
  EXPECT_LE(json["x"].get<int>(), 999);
  EXPECT_TRUE(json["word"] == "hello" || json["word"] == "é");
  EXPECT_LE(json["flags"].size(), 3u);
}

// Sixteen of all kinds; every second one follows a grammar.
std::vector<Request> requests_with_grammars() {
  const std::vector<std::shared_ptr<const Grammar>> grammars = {
      compile(GrammarKind::kJsonSchema, kSchema), compile(GrammarKind::kJsonObject, ""),
      compile(GrammarKind::kRegex, "([a-f]+ ?){4,30}"),
      compile(GrammarKind::kLark, "start: (\"hello\" | \"é\" | /[0-9]{1,3}/)+")};
  std::vector<Request> requests = mixed_requests(kVocabSize);
  for (size_t i = 0; i < requests.size(); ++i) {
    if (i % 2 == 0) requests[i].grammar = grammars[i / 2 % grammars.size()];
    requests[i].max_tokens = 90;
    requests[i].stop_ids.clear();
  }
  return requests;
}

std::vector<std::vector<Answer>> choices_of(const std::vector<Answers>& answers) {
  std::vector<std::vector<Answer>> choices;
  for (const Answers& one : answers) choices.push_back(one.choices);
  return choices;
}

const std::vector<std::vector<Answer>>& alone() {
  static const std::vector<std::vector<Answer>> found = [] {
    std::vector<Answers> answers;
    for (Request& request : requests_with_grammars()) {
      request.use_prefix_cache = false;
      answers.push_back(run(request));
    }
    return choices_of(answers);
  }();
  return found;
}

TEST(GrammarRequest, AnswersFitTheirSchema) {
  const auto grammar = compile(GrammarKind::kJsonSchema, kSchema);
  for (uint64_t seed = 0; seed < 8; ++seed) {
    Request request = request_of(grammar, seed);
    request.sampling.temperature = seed % 2 == 0 ? 1.5f : 0.0f;
    if (seed == 3) request.sampling.repetition_penalty = 1.5f;
    expect_fits(run(request).choices[0]);
  }
}

TEST(GrammarRequest, EveryChoiceHasItsOwn) {
  Request request = request_of(compile(GrammarKind::kJsonSchema, kSchema));
  request.n = 4;
  request.sampling.temperature = 2.0f;
  const Answers answers = run(request);
  for (const Answer& answer : answers.choices) expect_fits(answer);
  EXPECT_NE(answers.choices[0], answers.choices[1]);
}

EngineOptions drafting_options() {
  EngineOptions drafting = options();
  drafting.speculation.history = drafting.speculation.prediction = true;
  drafting.speculation.forced = true;
  return drafting;
}

// Every fifth token of the predictions is wrong.
std::vector<Request> predicted_with_grammars() {
  std::vector<Request> requests = requests_with_grammars();
  for (size_t i = 0; i < requests.size(); ++i) {
    requests[i].prediction = alone()[i][0].token_ids();
    for (size_t t = 4; t < requests[i].prediction.size(); t += 5) requests[i].prediction[t] ^= 1;
  }
  return requests;
}

// Drafts are made legal first, and a wrong one that the grammar allows is taken back.
TEST(GrammarRequest, SameTokensWithDrafts) {
  RecordedEngine recorded(tiny_model(), available_isas().back(), /*num_threads=*/2,
                          drafting_options());
  EXPECT_EQ(choices_of(recorded.run(requests_with_grammars())), alone());
  EXPECT_EQ(choices_of(recorded.run(predicted_with_grammars())), alone());
  const SpeculationStats stats = recorded.stats().speculation;
  EXPECT_GT(stats.accepted_tokens, 100);
  EXPECT_GT(stats.draft_tokens - stats.accepted_tokens, 100);
}

// What it forbids is never verified, though the model ran over it.
TEST(GrammarRequest, KeepsRejectedDraftsThatItAllows) {
  EngineOptions drafting = drafting_options();
  drafting.keep_finals = true;
  drafting.max_rejected_rows = 4096;
  int64_t num_rows = 0;
  drafting.on_sequence_end = [&](const SequenceEnd& end) {
    if (end.request.grammar == nullptr) return;
    Result<GrammarMatcher> matcher = end.request.grammar->matcher();
    for (int64_t i = 0; i < end.rejected->size(); ++i, ++num_rows) {
      std::vector<int32_t> output(end.tokens.begin() + std::ssize(end.request.prompt),
                                  end.tokens.begin() + end.rejected->row(i).position + 1);
      int64_t row = i;
      std::vector<int32_t> branch = {end.rejected->row(i).token};
      while (const int32_t distance = end.rejected->row(row).parent_distance) {
        row -= distance;
        branch.insert(branch.begin(), end.rejected->row(row).token);
      }
      output.insert(output.end(), branch.begin(), branch.end());
      EXPECT_EQ(*matcher->count_valid(output), output.size());
    }
  };
  RecordedEngine recorded(tiny_model(), available_isas().back(), /*num_threads=*/2, drafting);
  std::vector<Request> requests = predicted_with_grammars();
  for (Request& request : requests) request.conversation = 1;
  recorded.run(requests);
  EXPECT_GT(num_rows, 30);
}

TEST(GrammarRequest, SameTokensInABatchAsAlone) {
  for (const int num_threads : {1, 2}) {
    RecordedEngine recorded(tiny_model(), available_isas().back(), num_threads, options());
    EXPECT_EQ(choices_of(recorded.run(requests_with_grammars())), alone());
  }
}

TEST(GrammarRequest, SameTokensInSmallChunksAndPreempted) {
  EngineOptions tight = options();
  tight.max_step_rows = 33;
  tight.kv_tokens = 14 * 32;
  RecordedEngine recorded(tiny_model(), available_isas().back(), /*num_threads=*/2, tight);
  EXPECT_EQ(choices_of(recorded.run(requests_with_grammars())), alone());
  EXPECT_GT(recorded.stats().preemptions, 0);
}

TEST(GrammarRequest, TokensFollowTheGrammarWhereverTheyAreCut) {
  const std::vector<std::vector<Answer>>& answers = alone();
  const std::vector<Request> requests = requests_with_grammars();
  for (size_t i = 0; i < requests.size(); ++i) {
    if (requests[i].grammar == nullptr) continue;
    for (const Answer& answer : answers[i]) {
      Result<GrammarMatcher> matcher = requests[i].grammar->matcher();
      EXPECT_EQ(*matcher->count_valid(answer.token_ids()), answer.tokens.size()) << i;
      EXPECT_FALSE(answer.tokens.empty());
    }
  }
}

TEST(GrammarRequest, TheEndIsAllowedExactlyWhereItMayBe) {
  Request request = regex_request("ab");
  request.sampling.logit_bias = {{kFixtureEnd, 100.0f}, {'x', 100.0f}};
  EXPECT_EQ(run(request).choices[0].token_ids(), (std::vector<int32_t>{'a', 'b', kFixtureEnd}));
  // What comes behind an end would not follow the grammar.
  request = regex_request("a*");
  request.sampling.logit_bias = {{kFixtureEnd, 100.0f}};
  request.ignore_eos = true;
  const Answer answer = run(request).choices[0];
  EXPECT_EQ(answer.token_ids(), std::vector<int32_t>{kFixtureEnd});
  EXPECT_EQ(answer.reason, FinishReason::kStop);
}

TEST(GrammarRequest, EndsWithoutAnEndOfSequence) {
  EngineOptions no_eos = options();
  no_eos.eos_ids.clear();
  Answer answer = run(regex_request("ab"), no_eos).choices[0];
  EXPECT_EQ(answer.token_ids(), (std::vector<int32_t>{'a', 'b'}));
  EXPECT_EQ(answer.reason, FinishReason::kStop);
  EXPECT_FALSE(answer.stop_id.has_value());
  EXPECT_EQ(answer.completion_tokens, 2);
  answer = run(regex_request(""), no_eos).choices[0];
  EXPECT_TRUE(answer.tokens.empty());
  EXPECT_EQ(answer.reason, FinishReason::kStop);
}

TEST(GrammarRequest, EndsTheEngineKnowsBesideTheTokenizers) {
  EngineOptions other_eos = options();
  other_eos.eos_ids = {300};
  EXPECT_EQ(run(regex_request("ab"), other_eos).choices[0].stop_id, 300);
}

TEST(GrammarRequest, NothingAllowedIsAnError) {
  const auto grammar = compile(GrammarKind::kLark, "start: \"a\" <|end|> \"b\"");
  const Answer answer = run(request_of(grammar)).choices[0];
  EXPECT_EQ(answer.reason, FinishReason::kError);
  EXPECT_EQ(answer.token_ids(), std::vector<int32_t>{'a'});
  EXPECT_NE(answer.error.find("no token"), std::string::npos) << answer.error;
}

TEST(GrammarRequest, ProcessedLogprobsLeaveOutWhatIsNotAllowed) {
  Request request = regex_request("[ab]{3}");
  request.sampling.logprobs = LogprobMode::kProcessed;
  request.sampling.top_logprobs = 20;
  const Answer processed = run(request).choices[0];
  ASSERT_EQ(processed.tokens.size(), 4u);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(processed.tokens[i].top.size(), 2u);
  EXPECT_EQ(processed.tokens[3].top.size(), 1u);
  request.sampling.logprobs = LogprobMode::kRaw;
  EXPECT_EQ(run(request).choices[0].tokens[0].top.size(), 20u);
}

TEST(GrammarRequest, StopStringsEndItEarlier) {
  Request request = regex_request("x{50}");
  EngineOptions bytes = options();
  for (int32_t id = 0; id < kVocabSize; ++id) {
    bytes.token_bytes[id] = tokenizer().token_bytes(id);
  }
  request.stop_strings = {"xxxx"};
  const Answer answer = run(request, bytes).choices[0];
  EXPECT_EQ(answer.stop_string, 0);
  EXPECT_EQ(answer.text_bytes, 0);
}

TEST(GrammarRequest, MayBeCancelledWhileAMaskIsMade) {
  RecordedEngine recorded(tiny_model(), available_isas().back(), /*num_threads=*/2, options());
  std::vector<RequestId> ids;
  for (uint64_t seed = 0; seed < 6; ++seed) {
    Request request = request_of(compile(GrammarKind::kJsonSchema, kSchema), seed);
    request.on_token = [&recorded, seed](const TokenEvent& event) {
      if (seed % 2 == 0) recorded.engine().cancel(event.request);
    };
    ids.push_back(recorded.add(std::move(request)));
  }
  recorded.finish_all();
  for (size_t i = 0; i < ids.size(); ++i) {
    const Answer& answer = recorded.answers(ids[i]).choices[0];
    if (i % 2 == 1) {
      expect_fits(answer);
    } else {
      EXPECT_EQ(answer.reason, FinishReason::kCancelled);
    }
  }
  EXPECT_EQ(recorded.stats().kv_pages_in_use, 0);
  // Nor does an engine wait for anybody.
  recorded.add(request_of(compile(GrammarKind::kJsonObject, "")));
  recorded.engine().step();
}

TEST(GrammarRequest, NeedsAPlaceInTheModelsVocabularyForEachEnd) {
  const std::vector<int32_t> ends = {-1, 5, 1000};
  const GrammarProgress progress(compile(GrammarKind::kRegex, "a?"), /*vocab_size=*/100, ends);
  EXPECT_EQ(progress.allowed(0).size(), 4u);
  EXPECT_EQ(progress.allowed(0)[0], 1u << 5);
  EXPECT_FALSE(progress.ended(0));
}

}  // namespace
}  // namespace forerun
