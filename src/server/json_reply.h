#pragma once

#include <string>
#include <utility>

#include "server/exchange.h"
#include "text/chat_template.h"

namespace forerun {

// A JSON text; what is no UTF-8 in it, as names from files may be, becomes U+FFFD.
inline std::string json_text(const OrderedJson& json) {
  return json.dump(/*indent=*/-1, ' ', /*ensure_ascii=*/false,
                   OrderedJson::error_handler_t::replace);
}

inline void reply_json(Exchange& exchange, const OrderedJson& json, int status = 200) {
  HttpResponse response;
  response.status = status;
  response.body = json_text(json);
  exchange.reply(std::move(response));
}

}  // namespace forerun
