#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "text/chat_format.h"
#include "text/chat_template.h"
#include "text/vocabulary.h"

namespace forerun {

// OpenAI's `tool_choice`.
struct ToolChoice {
  enum class Mode : uint8_t { kNone, kAuto, kRequired, kFunction };
  Mode mode = Mode::kAuto;
  std::string function = {};  // of kFunction
};

struct ToolGrammarOptions {
  ChatFormat format;
  ThinkingStart thinking = ThinkingStart::kNone;
  ToolChoice choice;
  bool parallel_calls = true;
  const Vocabulary* vocabulary = nullptr;  // tells which marks are control tokens; null: none is
};

// What an answer may be so that its calls are ones of `tools` (a checked array of OpenAI's function
// tools) and its arguments are what their `parameters` say, in the form the model was trained on: a
// grammar in llguidance's dialect of Lark. With kRequired and kFunction there has to be a call,
// after reasoning where the model thinks; with kAuto only functions marked `strict` hold the model
// to their parameters. Nothing where nothing is to be held to. An Error says that the function is
// none of the tools, or that the model's form of calls is not known.
Result<std::optional<std::string>> tool_grammar(const OrderedJson& tools,
                                                const ToolGrammarOptions& options);

}  // namespace forerun
