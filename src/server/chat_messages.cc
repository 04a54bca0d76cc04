#include <algorithm>
#include <array>

#include "server/chat_fields.h"

namespace forerun {
namespace {

constexpr size_t kMaxMessages = 4096;
constexpr size_t kMaxParts = 4096;  // of all messages
constexpr std::array<const char*, 6> kRoles = {"system",    "developer", "user",
                                               "assistant", "tool",      "function"};

// Reads one message; errors name it as `messages[3]`.
class MessageReader final {
 public:
  explicit MessageReader(const OrderedJson& message, const std::string& path)
      : fields_(message, path) {}

  const JsonFields& read(size_t& num_parts) {
    const std::string role = fields_.text("role").value_or("");
    if (std::ranges::find(kRoles, role) == kRoles.end()) {
      fields_.refuse("role", "must be system, developer, user, assistant, tool or function");
    }
    read_content(role, num_parts);
    read_calls();
    return fields_;
  }

 private:
  void read_content(const std::string& role, size_t& num_parts) {
    const OrderedJson* content = fields_.any("content");
    if (content == nullptr) {
      if (role != "assistant") fields_.refuse("content", "is missing");
      return;
    }
    if (content->is_string()) return;
    if (!content->is_array()) {
      return fields_.refuse("content", std::string("is ") + json_kind(*content) +
                                           "; it must be a string or a list of parts");
    }
    num_parts += content->size();
    if (num_parts > kMaxParts) {
      return fields_.refuse(
          "content", "makes more than " + std::to_string(kMaxParts) + " parts in all messages");
    }
    for (size_t i = 0; i < content->size(); ++i) read_part((*content)[i], i);
  }

  void read_part(const OrderedJson& part, size_t index) {
    const std::string name = "content[" + std::to_string(index) + "]";
    const OrderedJson* type = JsonFields(part).any("type");
    if (type == nullptr || !type->is_string()) {
      return fields_.refuse(name, "must be an object with a type");
    }
    const OrderedJson* text = JsonFields(part).any("text");
    if (*type == "text" && (text == nullptr || !text->is_string())) {
      fields_.refuse(name, "is of type text; its text must be a string");
    }
  }

  void read_calls() {
    const OrderedJson* calls = fields_.list("tool_calls");
    if (calls == nullptr) return;
    for (size_t i = 0; i < calls->size(); ++i) {
      const OrderedJson* function = JsonFields((*calls)[i]).any("function");
      const OrderedJson* name = function == nullptr ? nullptr : JsonFields(*function).any("name");
      if (name == nullptr || !name->is_string()) {
        fields_.refuse("tool_calls[" + std::to_string(i) + "]", "must have a function with a name");
      }
    }
  }

  JsonFields fields_;
};

}  // namespace

const OrderedJson* read_messages(JsonFields& fields) {
  const OrderedJson* messages = fields.list("messages");
  if (messages == nullptr || messages->empty() || messages->size() > kMaxMessages) {
    fields.refuse("messages", messages == nullptr ? "is missing"
                                                  : "has " + std::to_string(messages->size()) +
                                                        " messages; it must have 1 to " +
                                                        std::to_string(kMaxMessages));
    return nullptr;
  }
  size_t num_parts = 0;
  for (size_t i = 0; i < messages->size(); ++i) {
    const std::string name = "messages[" + std::to_string(i) + "]";
    const OrderedJson& message = (*messages)[i];
    if (!message.is_object()) {
      fields.refuse(name, std::string("is ") + json_kind(message) + "; it must be an object");
    }
    MessageReader reader(message, name + ".");
    const JsonFields& read = reader.read(num_parts);
    if (!read.ok()) fields.take_error(read);
    if (!fields.ok()) return nullptr;
  }
  return messages;
}

}  // namespace forerun
