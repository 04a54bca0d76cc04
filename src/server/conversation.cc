#include "server/conversation.h"

#include <algorithm>
#include <string>
#include <string_view>

#include "formats/sha256.h"

namespace forerun {
namespace {

constexpr size_t kRootTokens = 256;

uint64_t number_of(std::span<const uint8_t> bytes) {
  Sha256 hash;
  hash.add(bytes);
  return std::stoull(hash.finish().substr(0, 16), nullptr, 16);
}

std::string_view role_of(const OrderedJson& message) {
  if (!message.is_object()) return {};
  const auto role = message.find("role");
  if (role == message.end() || !role->is_string()) return {};
  return role->get_ref<const std::string&>();
}

}  // namespace

uint64_t conversation_of_messages(const OrderedJson& messages) {
  std::string root;
  for (const OrderedJson& message : messages) {
    root += message.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
    root += '\n';
    if (role_of(message) == "user") break;
  }
  return number_of({reinterpret_cast<const uint8_t*>(root.data()), root.size()});
}

uint64_t conversation_of_prompt(std::span<const int32_t> prompt) {
  const std::span<const int32_t> root = prompt.first(std::min(prompt.size(), kRootTokens));
  return number_of({reinterpret_cast<const uint8_t*>(root.data()), root.size_bytes()});
}

}  // namespace forerun
