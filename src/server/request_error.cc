#include "server/request_error.h"

#include "server/errors.h"

namespace forerun {

HttpResponse to_response(const RequestError& error) {
  HttpResponse response = error_response(error.status, error.message, error.param, error.code);
  if (error.status == 429) response.headers.emplace_back("Retry-After", "1");
  return response;
}

RequestError rejected_by_engine(const Error& error) {
  const size_t end = error.message.find_first_not_of("abcdefghijklmnopqrstuvwxyz_");
  return {
      .status = 400, .message = error.message, .param = error.message.substr(0, end), .code = {}};
}

}  // namespace forerun
