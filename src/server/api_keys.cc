#include "server/api_keys.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "base/check.h"

namespace forerun {
namespace {

std::optional<std::string_view> bearer_token(std::string_view authorization) {
  constexpr std::string_view kScheme = "bearer ";
  if (!equal_without_case(authorization.substr(0, kScheme.size()), kScheme)) return std::nullopt;
  authorization.remove_prefix(kScheme.size());
  authorization.remove_prefix(std::min(authorization.find_first_not_of(' '), authorization.size()));
  return authorization;
}

std::optional<std::string_view> presented_key(const HttpHeaders& headers) {
  if (const auto authorization = find_header(headers, "Authorization")) {
    if (const auto token = bearer_token(*authorization)) return token;
  }
  return find_header(headers, "X-Api-Key");
}

// Looks at every byte of every digest, whichever is equal.
template <typename Digest>
bool contains(const std::vector<Digest>& digests, const Digest& wanted) {
  bool found = false;
  for (const Digest& digest : digests) {
    found |= CRYPTO_memcmp(digest.data(), wanted.data(), wanted.size()) == 0;
  }
  return found;
}

}  // namespace

ApiKeys::ApiKeys(const ServerOptions& options)
    : share_prefix_(options.share_prefix), share_history_(options.share_history) {
  CHECK(RAND_bytes(secret_.data(), static_cast<int>(secret_.size())) == 1,
        "the system's source of randomness works");
  for (const std::string& key : options.api_keys) users_.push_back(digest("key", key));
  for (const std::string& key : options.unrecorded_keys) {
    unrecorded_.push_back(digest("key", key));
  }
  if (!options.admin_key.empty()) admins_.push_back(digest("key", options.admin_key));
}

ApiKeys::Digest ApiKeys::digest(std::string_view label, std::string_view key) const {
  const std::string message = std::string(label) + ":" + std::string(key);
  Digest digest;
  HMAC(EVP_sha256(), secret_.data(), static_cast<int>(secret_.size()),
       reinterpret_cast<const uint8_t*>(message.data()), message.size(), digest.data(), nullptr);
  return digest;
}

ApiKeys::Owner ApiKeys::owner(std::string_view key) const {
  const Digest wanted = digest("key", key);
  const bool user = contains(users_, wanted);
  const bool admin = contains(admins_, wanted);
  return admin ? Owner::kAdmin : user ? Owner::kUser : Owner::kNobody;
}

ApiKeys::Verdict ApiKeys::check(const HttpHeaders& headers, Access access) const {
  if (access == Access::kAdmin && admins_.empty()) access = Access::kUser;
  if (access == Access::kOpen || (access == Access::kUser && users_.empty())) return Verdict::kIn;
  const auto key = presented_key(headers);
  if (!key) return Verdict::kNoKey;
  const Owner owner = this->owner(*key);
  if (owner == Owner::kNobody) return Verdict::kWrongKey;
  return owner == Owner::kUser && access == Access::kAdmin ? Verdict::kNotAdmin : Verdict::kIn;
}

uint64_t ApiKeys::salt(const HttpHeaders& headers) const {
  return share_prefix_ ? 0 : salt_of(headers, "salt");
}

uint64_t ApiKeys::history_salt(const HttpHeaders& headers) const {
  return share_history_ ? 0 : salt_of(headers, "history");
}

bool ApiKeys::is_recorded(const HttpHeaders& headers) const {
  const auto key = presented_key(headers);
  return !key || !contains(unrecorded_, digest("key", *key));
}

uint64_t ApiKeys::salt_of(const HttpHeaders& headers, std::string_view label) const {
  const auto key = presented_key(headers);
  if (users_.empty() || !key || owner(*key) == Owner::kNobody) return 0;
  const Digest digest = this->digest(label, *key);
  uint64_t salt = 0;
  std::memcpy(&salt, digest.data(), sizeof(salt));
  return std::max<uint64_t>(salt, 1);
}

}  // namespace forerun
