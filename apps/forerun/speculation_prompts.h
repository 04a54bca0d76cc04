#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace forerun {

// What `forerun bench speculation` asks, as one line of its file says it.
struct SpeculationPrompt {
  std::string question;
  bool is_text = false;              // the question is a "text": it is to be continued
  std::string prediction;            // "prediction": what the answer is expected to be like
  std::vector<std::string> answers;  // "response": recorded answers
};

// Lines of JSON objects. The question is "prompt", "question", "text", or the first of "turns". An
// Error names the line.
Result<std::vector<SpeculationPrompt>> parse_speculation_prompts(std::string_view text);

// The same of a file, or of standard input for "-". An Error names the file, too.
Result<std::vector<SpeculationPrompt>> read_speculation_prompts(const std::string& path);

}  // namespace forerun
