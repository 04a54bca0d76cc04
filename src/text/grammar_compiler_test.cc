#include "text/grammar_compiler.h"

#include <gtest/gtest.h>

#include <thread>

#include "text/text_fixture.h"

namespace forerun {
namespace {

Tokenizer tokenizer() {
  return *Tokenizer::create(byte_level_fixture());
}

GrammarSpec word(const std::string& text) {
  return {GrammarKind::kRegex, text};
}

TEST(GrammarCompiler, GivesTheSameGrammarForTheSameSpec) {
  GrammarCompiler compiler(tokenizer());
  const auto first = *compiler.compile(word("a"));
  EXPECT_EQ(*compiler.compile(word("a")), first);
  EXPECT_NE(*compiler.compile(word("b")), first);
  EXPECT_NE(*compiler.compile({GrammarKind::kLark, "start: \"a\""}), first);
  EXPECT_EQ(compiler.num_entries(), 3u);
  EXPECT_GT(compiler.memory_bytes(), 3 * 1000u);
}

TEST(GrammarCompiler, CompilesOnceForAllThatAskAtOnce) {
  GrammarCompiler compiler(tokenizer());
  std::vector<std::shared_ptr<const Grammar>> found(8);
  std::vector<std::thread> threads;
  for (auto& grammar : found) {
    threads.emplace_back([&] { grammar = *compiler.compile(word("(a|b)+c{3,9}")); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const auto& grammar : found) EXPECT_EQ(grammar, found[0]);
  EXPECT_EQ(compiler.num_entries(), 1u);
}

TEST(GrammarCompiler, KeepsTheLastAskedForWithinItsEntries) {
  GrammarCompiler compiler(tokenizer(), {.entries = 2});
  const auto a = *compiler.compile(word("a"));
  const auto b = *compiler.compile(word("b"));
  EXPECT_EQ(*compiler.compile(word("a")), a);
  ASSERT_TRUE(compiler.compile(word("c")).ok());
  EXPECT_EQ(compiler.num_entries(), 2u);
  EXPECT_EQ(*compiler.compile(word("a")), a);
  EXPECT_NE(*compiler.compile(word("b")), b) << "b was the oldest";
}

TEST(GrammarCompiler, KeepsNoMoreThanItsMemory) {
  GrammarCompiler compiler(tokenizer(), {.memory_bytes = 1});
  for (const char* text : {"a", "b", "c"}) ASSERT_TRUE(compiler.compile(word(text)).ok());
  EXPECT_EQ(compiler.num_entries(), 0u);
  EXPECT_EQ(compiler.memory_bytes(), 0u);
}

TEST(GrammarCompiler, KeepsNoError) {
  GrammarCompiler compiler(tokenizer());
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(compiler.compile(word("*")).ok());
  EXPECT_EQ(compiler.num_entries(), 0u);
  EXPECT_TRUE(compiler.compile(word("a")).ok());
}

}  // namespace
}  // namespace forerun
