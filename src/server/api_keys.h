#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "server/http_message.h"
#include "server/router.h"
#include "server/server_options.h"

namespace forerun {

// Whom a request's key lets in. A key comes as `Authorization: Bearer KEY` or `X-Api-Key: KEY`.
class ApiKeys final {
 public:
  explicit ApiKeys(const ServerOptions& options);

  enum class Verdict : uint8_t {
    kIn,
    kNoKey,     // 401: none was given
    kWrongKey,  // 401: none of ours
    kNotAdmin,  // 403: an API key where the admin key is asked for
  };
  Verdict check(const HttpHeaders& headers, Access access) const;

  // Request::salt of whoever is let in: different for each key, and for each run of the program; 0
  // (everyone's) without keys, without a valid one, or where all keys share their prefixes.
  uint64_t salt(const HttpHeaders& headers) const;
  // Request::history_salt, likewise.
  uint64_t history_salt(const HttpHeaders& headers) const;
  // Whether answers may be recorded (Request::conversation).
  bool is_recorded(const HttpHeaders& headers) const;

 private:
  // Keys are kept and compared as HMAC-SHA-256 under a secret drawn at start: of one length
  // whatever the key's, so that comparing tells nothing by its time.
  using Digest = std::array<uint8_t, 32>;
  enum class Owner : uint8_t { kNobody, kUser, kAdmin };

  Digest digest(std::string_view label, std::string_view key) const;
  Owner owner(std::string_view key) const;
  uint64_t salt_of(const HttpHeaders& headers, std::string_view label) const;

  Digest secret_;
  std::vector<Digest> users_;
  std::vector<Digest> unrecorded_;  // of these
  std::vector<Digest> admins_;      // one or none
  bool share_prefix_ = false;
  bool share_history_ = false;
};

}  // namespace forerun
