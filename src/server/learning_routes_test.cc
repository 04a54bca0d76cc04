#include "server/learning_routes.h"

#include <gtest/gtest.h>

#include "server/api_fixture.h"
#include "server/learning_fixture.h"

namespace forerun {
namespace {

Json event(const std::string& kind, int n) {
  return {{"kind", kind}, {"time", 100.5 + n}, {"n", n}};
}

class LearningRoutes : public testing::Test {
 protected:
  LearningRoutes() {
    for (int i = 1; i <= 3; ++i) {
      EXPECT_TRUE(learning_.writable().append_event(event("verdict", i)).ok());
    }
    events_ = add_learning_routes(api_.router, *api_.service, learning_);
  }

  FakeExchangePtr head(const std::string& method, const std::string& what,
                       const std::string& version) {
    return api_.ask(method, "/forerun/heads/" + what, "", 0, {{"version", version}});
  }
  // Asked for the events with a query; `headers` in their form.
  FakeExchangePtr ask_events(std::map<std::string, std::string> query, HttpHeaders headers = {},
                             const std::string& method = "GET") {
    HttpRequest request;
    request.method = method;
    request.query = std::move(query);
    request.headers = std::move(headers);
    auto exchange = std::make_shared<FakeExchange>(std::move(request));
    const Router::Match match = api_.router.match("GET", "/forerun/events");
    match.route->handle(exchange);
    return exchange;
  }
  // Told by the loop, and by the I/O thread to whom it concerns.
  void tell(const Json& told) {
    learning_.tell(told);
    bool done = false;
    api_.loop.post()([&] { done = true; });
    api_.run_until([&] { return done; });
  }
  std::string message(const FakeExchangePtr& exchange) {
    return exchange->json()["error"]["message"];
  }

  FakeLearning learning_;
  Api api_;
  std::shared_ptr<LearningEvents> events_;
};

TEST_F(LearningRoutes, OnlyTheAdminChangesAnything) {
  for (const Route& route : api_.router.routes()) {
    const bool is_ours = route.pattern.starts_with("/forerun/heads") ||
                         route.pattern.starts_with("/forerun/learning") ||
                         route.pattern == "/forerun/events";
    if (!is_ours) continue;
    EXPECT_EQ(route.access, route.method == "GET" ? Access::kUser : Access::kAdmin)
        << route.method << " " << route.pattern;
  }
}

TEST_F(LearningRoutes, TellsTheHeads) {
  const FakeExchangePtr all = api_.ask("GET", "/forerun/heads");
  EXPECT_EQ(all->response.status, 200);
  EXPECT_EQ(all->json()["current"], 2);
  ASSERT_EQ(all->json()["heads"].size(), 2u);
  EXPECT_EQ(all->json()["heads"][1]["parent"], 1);
  EXPECT_EQ(all->json()["heads"][1]["weights"], "000000000000feed");
  const FakeExchangePtr one = head("GET", "{version}", "1");
  EXPECT_EQ(one->response.status, 200);
  EXPECT_EQ(one->json()["version"], 1);
  for (const char* none : {"3", "0", "-1", "x", "1x", "1/x", "99999999999999999999"}) {
    const FakeExchangePtr refused = head("GET", "{version}", none);
    EXPECT_EQ(refused->response.status, 404) << none;
    EXPECT_EQ(message(refused), "there is no head \"" + std::string(none) +
                                    "\"; GET /forerun/heads lists those there are");
  }
}

TEST_F(LearningRoutes, AsksForAHead) {
  const FakeExchangePtr nothing = api_.ask("POST", "/forerun/heads/rollback");
  EXPECT_EQ(nothing->response.status, 409);
  EXPECT_EQ(message(nothing), "no head drafts that another came before");
  const FakeExchangePtr first = head("POST", "{version}/activate", "1");
  EXPECT_EQ(first->response.status, 202);
  EXPECT_EQ(first->json(), (OrderedJson{{"asked", true}, {"version", 1}}));
  const FakeExchangePtr back = api_.ask("POST", "/forerun/heads/rollback");
  EXPECT_EQ(back->response.status, 202);
  EXPECT_EQ(back->json(), (OrderedJson{{"asked", true}}));
  const FakeExchangePtr unknown = head("POST", "{version}/activate", "3");
  EXPECT_EQ(unknown->response.status, 404);
  EXPECT_EQ(message(unknown).find("there is no head \"3\";"), 0u) << message(unknown);
  EXPECT_EQ(head("POST", "{version}/activate", "x")->response.status, 404);
  EXPECT_EQ(message(head("POST", "{version}/activate", "0")), "versions begin at 1");
  EXPECT_EQ(learning_.asked, (std::vector<int64_t>{1, -1}));
}

TEST_F(LearningRoutes, AVersionIsNotTakenForTheWayBack) {
  EXPECT_EQ(api_.router.match("POST", "/forerun/heads/rollback").route->pattern,
            "/forerun/heads/rollback");
  EXPECT_EQ(api_.router.match("POST", "/forerun/heads/3/activate").path_parameters.at("version"),
            "3");
  EXPECT_EQ(api_.router.match("POST", "/forerun/heads/3").allowed_methods, "GET, HEAD");
}

TEST_F(LearningRoutes, TellsHowLearningGoes) {
  learning_.told.records.opted_out = 7;
  learning_.told.swaps.rolled_back = 2;
  learning_.told.verdicts.refused = 1;
  const OrderedJson told = api_.ask("GET", "/forerun/learning")->json();
  EXPECT_EQ(told["enabled"], true);
  EXPECT_EQ(told["starved"], "nobody");
  EXPECT_EQ(told["head_version"], 2);
  EXPECT_EQ(told["acceptance_length"], 1.74);
  EXPECT_EQ(told["records"]["opted_out"], 7);
  EXPECT_EQ(told["swaps"]["rolled_back"], 2);
  EXPECT_EQ(told["verdicts"]["refused"], 1);
}

TEST_F(LearningRoutes, SwitchesLearning) {
  const FakeExchangePtr off = api_.ask("POST", "/forerun/learning", R"({"enabled": false})");
  EXPECT_EQ(off->response.status, 200);
  EXPECT_EQ(off->json()["enabled"], false);
  EXPECT_EQ(api_.ask("POST", "/forerun/learning", R"({"enabled": true})")->json()["enabled"], true);
  const std::vector<std::pair<std::string, std::string>> wrong = {
      {R"({"enabled": 1})", "enabled"}, {R"({"enabled": "no"})", "enabled"},
      {"{}", "enabled is missing"},     {R"({"enabled": null})", "enabled is missing"},
      {"[]", "must be a JSON object"},  {"", "the body"}};
  for (const auto& [body, sentence] : wrong) {
    const FakeExchangePtr refused = api_.ask("POST", "/forerun/learning", body);
    EXPECT_EQ(refused->response.status, 400) << body;
    EXPECT_NE(message(refused).find(sentence), std::string::npos) << message(refused);
  }
  EXPECT_TRUE(learning_.status().enabled);
}

TEST_F(LearningRoutes, StreamsWhatHappensBehindWhatHappened) {
  const FakeExchangePtr stream = ask_events({{"last", "2"}});
  EXPECT_EQ(stream->stream_type, "text/event-stream");
  EXPECT_EQ(stream->written,
            "id: 2\nevent: verdict\ndata: {\"kind\":\"verdict\",\"n\":2,\"time\":102.5}\n\n"
            "id: 3\nevent: verdict\ndata: {\"kind\":\"verdict\",\"n\":3,\"time\":103.5}\n\n");
  stream->written.clear();
  tell({{"kind", "drift"}, {"of", "two\nlines"}});
  EXPECT_EQ(stream->written,
            "id: 4\nevent: drift\ndata: {\"kind\":\"drift\",\"of\":\"two\\nlines\"}\n\n");
  EXPECT_FALSE(stream->done);
  EXPECT_EQ(ask_events({{"last", "0"}})->written, "");
}

TEST_F(LearningRoutes, TellsEventsAsAListToo) {
  tell(event("watch", 4));
  const FakeExchangePtr list = ask_events({{"format", "json"}, {"last", "2"}});
  EXPECT_EQ(list->json(), (OrderedJson{event("verdict", 3), event("watch", 4)}));
  EXPECT_EQ(ask_events({}, {{"accept", "application/json"}})->json().size(), 4u);
  for (const char* count : {"-1", "1001", "x", "1.5"}) {
    const FakeExchangePtr refused = ask_events({{"last", count}});
    EXPECT_EQ(refused->response.status, 400) << count;
    EXPECT_EQ(message(refused), "last must be a whole number from 0 to 1000");
  }
  EXPECT_EQ(ask_events({{"format", "xml"}})->response.status, 400);
}

TEST_F(LearningRoutes, BeginsWithAHundredAndKeepsAThousand) {
  for (int i = 4; i <= 1200; ++i) tell(event("verdict", i));
  EXPECT_EQ(ask_events({{"format", "json"}})->json().size(), 100u);
  const OrderedJson all = ask_events({{"format", "json"}, {"last", "1000"}})->json();
  ASSERT_EQ(all.size(), 1000u);
  EXPECT_EQ(all.front()["n"], 201);
  EXPECT_EQ(all.back()["n"], 1200);
  EXPECT_EQ(events_->last(2000).size(), 1000u);
}

TEST_F(LearningRoutes, ForgetsWhoHasGone) {
  const FakeExchangePtr gone = ask_events({});
  const FakeExchangePtr stays = ask_events({});
  EXPECT_EQ(events_->num_followers(), 2u);
  gone->abandoned();
  EXPECT_EQ(events_->num_followers(), 1u);
  const int writes = gone->writes;
  tell(event("watch", 4));
  EXPECT_EQ(gone->writes, writes);
  EXPECT_NE(stays->written.find("id: 4\n"), std::string::npos);
}

TEST_F(LearningRoutes, ASilentStreamIsNotDead) {
  const FakeExchangePtr stream = ask_events({{"last", "0"}});
  events_->beat(1000.0);
  EXPECT_EQ(stream->written, ": nothing new\n\n");
  events_->beat(1014.0);
  EXPECT_EQ(stream->written, ": nothing new\n\n");
  events_->beat(1015.0);
  EXPECT_EQ(stream->written, ": nothing new\n\n: nothing new\n\n");
}

TEST_F(LearningRoutes, StreamsEndWithTheServer) {
  const FakeExchangePtr stream = ask_events({});
  EXPECT_TRUE(ask_events({}, {}, "HEAD")->done);
  events_->end();
  EXPECT_TRUE(stream->done);
  EXPECT_EQ(events_->num_followers(), 0u);
  // The loop may still tell when nobody is there to hear.
  std::weak_ptr<LearningEvents> still = events_;
  api_.router = {};
  events_.reset();
  EXPECT_TRUE(still.expired());
  tell(event("watch", 4));
}

}  // namespace
}  // namespace forerun
