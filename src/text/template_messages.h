#pragma once

#include "base/result.h"
#include "text/chat_format.h"
#include "text/chat_template.h"

namespace forerun {

// OpenAI's `messages` (a checked array) as chat templates expect them:
//   content      a list of text parts becomes one string; a part that is an image, a sound or a
//   file
//                is an Error that names its index
//   tool_calls   `arguments`, which clients send as a text of JSON, becomes the object it stands
//   for;
//                an Error where it stands for none
//   role         `developer` is `system`, `function` is `tool`
//   reasoning    `reasoning` is `reasoning_content`, where there is none
// For Mistral's templates, ids of calls are cut to the nine letters and digits they insist on.
Result<OrderedJson> messages_for_template(const OrderedJson& messages, ToolSyntax syntax);

}  // namespace forerun
