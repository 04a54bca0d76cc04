#include "text/text_fixture.h"

#include <array>
#include <cstdio>

namespace forerun {
namespace {

// GPT-2's printable spelling of a byte: U+0100 onwards for those that have no glyph of their own.
std::string spelling_of_byte(int byte) {
  static const auto kCodePoints = [] {
    std::array<int, 256> points{};
    int next = 0x100;
    for (int i = 0; i < 256; ++i) {
      const bool printable = (i >= 0x21 && i <= 0x7E) || (i >= 0xA1 && i != 0xAD);
      points[i] = printable ? i : next++;
    }
    return points;
  }();
  const int point = kCodePoints[byte];
  if (point < 0x80) return std::string(1, static_cast<char>(point));
  return {static_cast<char>(0xC0 | (point >> 6)), static_cast<char>(0x80 | (point & 0x3F))};
}

void add(TokenizerSpec& spec, const std::string& token, int32_t type, float score = 0) {
  spec.tokens.push_back(token);
  spec.token_types.push_back(type);
  spec.scores.push_back(score);
}

}  // namespace

TokenizerSpec byte_level_fixture() {
  TokenizerSpec spec;
  spec.model = "gpt2";
  spec.pre = "smollm";
  for (int byte = 0; byte < 256; ++byte) add(spec, spelling_of_byte(byte), 1);
  const std::string space = spelling_of_byte(' ');
  for (const auto& [left, right] : {std::pair<std::string, std::string>{"h", "e"},
                                    {"l", "l"},
                                    {"he", "ll"},
                                    {"hell", "o"},
                                    {space, "w"},
                                    {spelling_of_byte(0xC3), spelling_of_byte(0xA9)}}) {
    add(spec, left + right, 1);
    spec.merges.push_back(left);
    spec.merges.back().append(" ").append(right);
  }
  add(spec, "<|start|>", 3);
  add(spec, "<|end|>", 3);
  add(spec, "\n\n", 4);
  spec.scores.clear();
  spec.bos_id = kFixtureStart;
  spec.eos_id = kFixtureEnd;
  spec.end_ids = {kFixtureEnd};
  return spec;
}

TokenizerSpec sentence_piece_fixture() {
  TokenizerSpec spec;
  spec.model = "llama";
  add(spec, "<unk>", 2);
  add(spec, "<s>", 3);
  add(spec, "</s>", 3);
  for (int byte = 0; byte < 256; ++byte) {
    std::array<char, 8> text{};
    std::snprintf(text.data(), text.size(), "<0x%02X>", byte);
    add(spec, text.data(), 6);
  }
  for (const char* letter : {"▁", "h", "e", "l", "o", "w"}) add(spec, letter, 1, -100);
  add(spec, "he", 1, -1);
  add(spec, "ll", 1, -2);
  add(spec, "hell", 1, -3);
  add(spec, "hello", 1, -4);
  add(spec, "▁hello", 1, -5);
  add(spec, "▁w", 1, -6);
  spec.bos_id = 1;
  spec.eos_id = 2;
  spec.unknown_id = 0;
  spec.end_ids = {2};
  spec.add_bos = true;
  spec.add_space_prefix = true;
  return spec;
}

}  // namespace forerun
