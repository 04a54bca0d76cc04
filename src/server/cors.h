#pragma once

#include <string>
#include <vector>

#include "server/http_message.h"

namespace forerun {

// Which web pages of other origins may call, as browsers ask for it (the Fetch standard's CORS
// protocol). Without allowed origins nothing is added to any answer.
class Cors final {
 public:
  explicit Cors(std::vector<std::string> allowed_origins);

  // What every answer to this request carries.
  HttpHeaders headers(const HttpHeaders& request) const;

  // Whether an OPTIONS request asks what an allowed page may send, and the answer's further fields.
  bool is_preflight(const HttpHeaders& request) const;
  HttpHeaders preflight_headers(const HttpHeaders& request, const std::string& methods) const;

 private:
  bool allows(const HttpHeaders& request) const;

  std::vector<std::string> allowed_origins_;
  bool any_ = false;
};

}  // namespace forerun
