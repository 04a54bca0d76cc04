#include "server/errors.h"

#include <gtest/gtest.h>

#include "base/json.h"

namespace forerun {
namespace {

Json error_of(const HttpResponse& response) {
  return Json::parse(response.body).at("error");
}

TEST(Errors, HaveTheFourFieldsOfOpenAi) {
  const HttpResponse response = error_response(400, "'n' is 0; it is at least 1.", "n");
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(response.content_type, "application/json");
  const Json expected = {{"message", "'n' is 0; it is at least 1."},
                         {"type", "invalid_request_error"},
                         {"param", "n"},
                         {"code", nullptr}};
  EXPECT_EQ(error_of(response), expected);
}

TEST(Errors, TellTypeAndCodeByStatus) {
  struct Case {
    int status;
    const char* type;
    Json code;
  };
  const Case cases[] = {{400, "invalid_request_error", nullptr},
                        {401, "invalid_request_error", "invalid_api_key"},
                        {403, "permission_error", nullptr},
                        {404, "invalid_request_error", nullptr},
                        {429, "rate_limit_error", "rate_limit_exceeded"},
                        {500, "server_error", nullptr},
                        {503, "server_error", nullptr}};
  for (const Case& expected : cases) {
    const Json error = error_of(error_response(expected.status, "No."));
    EXPECT_EQ(error.at("type"), expected.type) << expected.status;
    EXPECT_EQ(error.at("code"), expected.code) << expected.status;
  }
  EXPECT_EQ(error_of(error_response(404, "No.", "model", "model_not_found")).at("code"),
            "model_not_found");
}

TEST(Errors, QuoteAnyBytes) {
  const HttpResponse response = error_response(400, std::string("bad \xff\0 name", 11));
  EXPECT_EQ(error_of(response).at("message"), std::string("bad \xEF\xBF\xBD\0 name", 13));
}

}  // namespace
}  // namespace forerun
