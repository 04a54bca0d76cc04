#include "spec/model_drafter.h"

#include <gtest/gtest.h>

#include "base/check.h"
#include "formats/gguf.h"
#include "formats/safetensors.h"
#include "models/tiny_head.h"
#include "models/tiny_model.h"
#include "tensor/float16.h"

namespace forerun {
namespace {

using Tokens = std::vector<int32_t>;

constexpr int kVocabSize = 320;
constexpr int64_t kStateInputs = 3 * 64;
constexpr int kPages = 64;

Tokens some_tokens(int count) {
  Tokens tokens;
  for (int i = 0; i < count; ++i) tokens.push_back((37 * i + i / 7) % kVocabSize);
  return tokens;
}

struct Models {
  Models() {
    Team team(1);
    bytes = make_tiny_model({});
    model = std::move(*Model::load(std::move(*Gguf::parse(bytes, "tiny")), team));
    head_bytes = make_tiny_head(tiny_head_config()).encode();
    Result<Eagle3Checkpoint> checkpoint = Eagle3Checkpoint::read(
        tiny_head_config(), SafetensorsShards::of(*Safetensors::parse(head_bytes, "head")));
    head = std::move(*Eagle3Head::load(*std::move(checkpoint), *model, team));
  }
  std::vector<uint8_t> bytes;
  std::vector<uint8_t> head_bytes;
  std::unique_ptr<Model> model;
  std::unique_ptr<Eagle3Head> head;
};
const Models& models() {
  static const Models made;
  return made;
}

// A drafter, and sequences whose target has kept states that a position tells.
class Drafting {
 public:
  explicit Drafting(bool with_head, int num_pages = kPages)
      : team_(2),
        drafter(with_head ? DraftingModel::of(*models().head) : DraftingModel::of(*models().model),
                kernel_table(available_isas().back()), team_,
                {.max_sequences = 4, .num_pages = num_pages, .target_vocab_size = kVocabSize}),
        pool_(shape(), kPages) {
    for (int page = 0; page < kPages; ++page) pages_.push_back(page);
    for (int64_t position = 0; position < kPages * kPageTokens; ++position) {
      auto* state = reinterpret_cast<uint16_t*>(pool_.side(pages_, 0, position));
      for (int64_t i = 0; i < kStateInputs; ++i) {
        state[i] = f32_to_bf16(tiny_head_weight("states", position * kStateInputs + i));
      }
    }
    sampling_.temperature = 1.0f;
  }

  void begin(int place) {
    DraftRequest request;
    request.max_tokens = kPages * kPageTokens;
    drafter.begin(place, request);
  }
  DraftTask task(int place, const Tokens& tokens, int max_tokens = 8) {
    DraftTask task;
    task.place = place;
    task.tokens = tokens;
    task.max_tokens = max_tokens;
    task.sampling = &sampling_;
    task.noise = {7, 0, static_cast<uint32_t>(tokens.size())};
    task.states = {&pool_, 0, pages_};
    return task;
  }
  Tokens chain(int place) {
    Draft draft;
    drafter.propose(place, {}, 0, kMaxDraft, draft);
    return draft.tokens;
  }
  Tokens draft(int place, const Tokens& tokens, int depth) {
    const DraftTask one = task(place, tokens);
    for (int step = 0; step < 10; ++step) {
      drafter.compute({&one, 1}, depth);
      if (!chain(place).empty()) break;
    }
    return chain(place);
  }

 private:
  static KvShape shape() {
    KvShape shape;
    shape.num_layers = shape.num_kv_heads = 1;
    shape.head_dim = 16;
    shape.side_arrays = {{"states", kStateInputs * 2}};
    return shape;
  }

  Team team_;

 public:
  ModelDrafter drafter;

 private:
  KvPool pool_;
  std::vector<int32_t> pages_;
  SamplingParams sampling_;
};

class ModelDrafterTest : public testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Kind, ModelDrafterTest, testing::Bool(),
                         [](const auto& info) { return info.param ? "Head" : "Model"; });

// Whether step by step, some of it accepted, or at once.
TEST_P(ModelDrafterTest, DraftsTheSameHoweverItCameThere) {
  const Tokens all = some_tokens(120);
  Drafting stepwise(GetParam());
  stepwise.begin(0);
  size_t length = 20;
  for (int step = 0; length < all.size(); ++step) {
    Tokens tokens(all.begin(), all.begin() + length);
    const Tokens drafted = stepwise.draft(0, tokens, 5);
    ASSERT_EQ(drafted.size(), 5u);
    Drafting fresh(GetParam());
    fresh.begin(2);
    EXPECT_EQ(fresh.draft(2, tokens, 5), drafted) << length << " tokens";
    length += 1 + step % 4;
    const Tokens came(all.begin() + tokens.size(), all.begin() + std::min(length, all.size()));
    stepwise.drafter.observe(0, came);
  }
}

// A chain whose beginning turned out right is computed already.
TEST_P(ModelDrafterTest, DraftsOnFromItsOwnChain) {
  Drafting drafting(GetParam());
  drafting.begin(0);
  Tokens tokens = some_tokens(40);
  for (int step = 0; step < 6; ++step) {
    const Tokens drafted = drafting.draft(0, tokens, 4);
    Drafting fresh(GetParam());
    fresh.begin(0);
    EXPECT_EQ(fresh.draft(0, tokens, 4), drafted) << step;
    Tokens came(drafted.begin(), drafted.begin() + step % 5);
    came.push_back(step);
    drafting.drafter.observe(0, came);
    tokens.insert(tokens.end(), came.begin(), came.end());
  }
  EXPECT_GT(drafting.drafter.expected(0), 0.6);
}

TEST_P(ModelDrafterTest, DraftsTheSameInCompany) {
  const Tokens tokens[] = {some_tokens(33), some_tokens(70), some_tokens(9)};
  Drafting together(GetParam());
  std::vector<DraftTask> tasks;
  for (int i = 0; i < 3; ++i) {
    together.begin(i);
    tasks.push_back(together.task(i, tokens[i], /*max_tokens=*/2 + i));
  }
  together.drafter.compute(tasks, 4);
  for (int i = 0; i < 3; ++i) {
    Drafting alone(GetParam());
    alone.begin(i);
    EXPECT_EQ(together.chain(i), alone.draft(i, tokens[i], 2 + i));
  }
}

// Of a long text only so much is computed in one step.
TEST_P(ModelDrafterTest, CatchesUpInSteps) {
  const Tokens tokens = some_tokens(700);
  Drafting drafting(GetParam());
  drafting.begin(0);
  const DraftTask one = drafting.task(0, tokens);
  int steps = 1;
  while (drafting.drafter.compute({&one, 1}, 3), drafting.chain(0).empty()) ++steps;
  EXPECT_EQ(steps, GetParam() ? 2 : 3) << "a head goes back by its window";
  EXPECT_EQ(drafting.chain(0).size(), 3u);
}

TEST_P(ModelDrafterTest, TakesRoomFromThoseNotDraftedFor) {
  const Tokens tokens = some_tokens(100);
  Drafting drafting(GetParam(), /*num_pages=*/5);
  for (int place = 0; place < 3; ++place) {
    drafting.begin(place);
    EXPECT_EQ(drafting.draft(place, tokens, 4).size(), 4u) << place;
  }
  drafting.drafter.end(1);
  for (const int place : {0, 2}) {
    EXPECT_EQ(drafting.draft(place, some_tokens(101), 4).size(), 4u) << place;
    drafting.drafter.end(place);
  }
  EXPECT_EQ(drafting.drafter.pages_in_use(), 0);
}

TEST_P(ModelDrafterTest, LearnsHowOftenItIsRight) {
  Drafting drafting(GetParam());
  drafting.begin(0);
  Tokens tokens = some_tokens(40);
  for (int step = 0; step < 200; ++step) {
    const Tokens drafted = drafting.draft(0, tokens, 2);
    // The first is right every second time, the one behind it never.
    const Tokens came = {step % 2 == 0 ? drafted[0] : drafted[0] ^ 1, drafted[1] ^ 1};
    drafting.drafter.observe(0, came);
    tokens.insert(tokens.end(), came.begin(), came.end());
  }
  EXPECT_NEAR(drafting.drafter.expected(0), 0.5, 0.05);
  EXPECT_LT(drafting.drafter.expected(1), 0.1);
}

TEST_P(ModelDrafterTest, ProposesWhatAgrees) {
  Drafting drafting(GetParam());
  drafting.begin(0);
  const Tokens drafted = drafting.draft(0, some_tokens(40), 4);
  Draft draft;
  drafting.drafter.propose(0, Tokens{9, drafted[0], drafted[1]}, 2, 8, draft);
  EXPECT_EQ(draft.tokens, Tokens(drafted.begin() + 2, drafted.end()));
  draft.clear();
  drafting.drafter.propose(0, Tokens{9, drafted[0], drafted[1] ^ 1}, 2, 8, draft);
  EXPECT_EQ(draft.size(), 0);
  drafting.drafter.observe(0, Tokens{1});
  EXPECT_TRUE(drafting.chain(0).empty()) << "of a step before";
}

}  // namespace
}  // namespace forerun
