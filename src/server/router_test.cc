#include "server/router.h"

#include <gtest/gtest.h>

namespace forerun {
namespace {

Router router() {
  Router router;
  router.add({"GET", "/v1/models/{id}", Access::kUser, {}});
  router.add({"GET", "/v1/models", Access::kUser, {}});
  router.add({"GET", "/v1/models/active", Access::kAdmin, {}});
  router.add({"POST", "/v1/models", Access::kAdmin, {}});
  return router;
}

TEST(Router, FindsARouteByMethodAndPath) {
  const Router table = router();
  EXPECT_EQ(table.match("GET", "/v1/models").route, &table.routes()[1]);
  EXPECT_EQ(table.match("HEAD", "/v1/models").route, &table.routes()[1]);
  EXPECT_EQ(table.match("POST", "/v1/models").route, &table.routes()[3]);
}

TEST(Router, LetsAParameterTakeSeveralSegments) {
  const Router table = router();
  const Router::Match match = table.match("GET", "/v1/models/org/name");
  EXPECT_EQ(match.route, &table.routes()[0]);
  EXPECT_EQ(match.path_parameters.at("id"), "org/name");
  EXPECT_EQ(table.match("GET", "/v1/models/").route, nullptr);
}

TEST(Router, LetsAParameterInTheMidstTakeOneSegment) {
  Router table = router();
  table.add({"POST", "/v1/models/{id}/load", Access::kAdmin, {}});
  const Router::Match match = table.match("POST", "/v1/models/name/load");
  EXPECT_EQ(match.route, &table.routes()[4]);
  EXPECT_EQ(match.path_parameters.at("id"), "name");
  for (const char* path : {"/v1/models/org/name/load", "/v1/models//load", "/v1/models/load",
                           "/v1/models/name/load/x", "/v1/models/nameload"}) {
    EXPECT_EQ(table.match("POST", path).route, nullptr) << path;
  }
}

TEST(Router, PrefersAPatternWithoutParameter) {
  const Router table = router();
  EXPECT_EQ(table.match("GET", "/v1/models/active").route, &table.routes()[2]);
}

TEST(Router, TellsTheMethodsOfAPath) {
  const Router table = router();
  EXPECT_EQ(table.match("PUT", "/v1/models").route, nullptr);
  EXPECT_EQ(table.match("PUT", "/v1/models").allowed_methods, "GET, HEAD, POST");
  EXPECT_EQ(table.match("GET", "/v1").allowed_methods, "");
}

}  // namespace
}  // namespace forerun
