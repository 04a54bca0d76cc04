// Compiles grammars that a stranger wrote and follows them: the first byte picks the kind, the rest
// is the text; which of the allowed tokens come next follows from the text too. Whatever the
// grammar, the answer comes in time, an allowed token is taken, and what is taken back is
// forgotten.

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "text/grammar.h"
#include "text/text_fixture.h"

namespace forerun {
namespace {

// The deadline, and time for the machine to be busy with something else.
constexpr std::chrono::seconds kLongest{8};
constexpr int kMostTokens = 24;
// What goes over its memory or time keeps both for ever; after this many a fresh process goes on
// (scripts/fuzz starts it).
constexpr int kMaxAbandoned = 4;

void require(bool holds) {
  if (!holds) std::abort();
}

const GrammarEnvironment& environment() {
  static const Result<Tokenizer> tokenizer = Tokenizer::create(byte_level_fixture());
  static const Result<GrammarEnvironment> made = GrammarEnvironment::create(*tokenizer);
  return *made;
}

std::vector<int32_t> tokens_of(std::span<const uint32_t> mask) {
  std::vector<int32_t> tokens;
  for (size_t word = 0; word < mask.size(); ++word) {
    for (int bit = 0; bit < 32; ++bit) {
      if ((mask[word] >> bit & 1) != 0) tokens.push_back(static_cast<int32_t>(word * 32) + bit);
    }
  }
  return tokens;
}

void take_back(const GrammarMatcher& matcher, std::span<const int32_t> output,
               const std::vector<std::vector<uint32_t>>& masks) {
  Result<GrammarMatcher> copy = matcher.clone();
  require(copy.ok());
  const size_t back = output.size() / 2 + 1;
  if (back > output.size() || !copy->rollback(back).ok()) return;
  std::vector<uint32_t> mask(masks[0].size());
  if (!copy->mask(mask).ok()) return;
  require(mask == masks[output.size() - back]);
  const Result<size_t> valid = copy->count_valid(output.last(back));
  if (valid.ok()) require(*valid == back);
}

void follow(const Grammar& grammar, std::string_view choices) {
  Result<GrammarMatcher> matcher = grammar.matcher();
  require(matcher.ok());
  std::vector<std::vector<uint32_t>> masks;
  std::vector<int32_t> output;
  for (int i = 0; i < kMostTokens; ++i) {
    std::vector<uint32_t> mask(mask_words(265));
    if (!matcher->mask(mask).ok()) return;
    const std::vector<int32_t> allowed = tokens_of(mask);
    masks.push_back(mask);
    if (allowed.empty()) break;
    const size_t choice = static_cast<uint8_t>(choices[i % choices.size()]) + 7 * output.size();
    output.push_back(allowed[choice % allowed.size()]);
    if (!matcher->accept(output.back()).ok()) return;
  }
  take_back(*matcher, output, masks);
}

bool kept_its_thread(const Error& error) {
  return error.message.find("more memory than the limit") != std::string::npos ||
         error.message.find("longer than the limit of 5s") != std::string::npos;
}

void compile(std::string_view input) {
  static int num_abandoned = 0;
  const GrammarSpec spec = {static_cast<GrammarKind>(input[0] & 3), std::string(input.substr(1))};
  const auto begin = std::chrono::steady_clock::now();
  const Result<std::shared_ptr<const Grammar>> grammar = environment().compile(spec);
  if (grammar.ok()) {
    follow(**grammar, input);
  } else {
    require(!grammar.error().message.empty());
    if (kept_its_thread(grammar.error()) && ++num_abandoned == kMaxAbandoned) std::_Exit(0);
  }
  require(std::chrono::steady_clock::now() - begin < kLongest);
}

}  // namespace
}  // namespace forerun

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 0) forerun::compile({reinterpret_cast<const char*>(data), size});
  return 0;
}
