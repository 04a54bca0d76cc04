#pragma once

#include <cstdint>
#include <span>

#include "text/chat_template.h"

namespace forerun {

// Request::conversation: what all turns of a conversation have in common, and few others have; the
// same from one run of the program to the next.

// Of `messages`: those up to the user's first one.
uint64_t conversation_of_messages(const OrderedJson& messages);

// Of a prompt as it is: its first 256 tokens.
uint64_t conversation_of_prompt(std::span<const int32_t> prompt);

}  // namespace forerun
