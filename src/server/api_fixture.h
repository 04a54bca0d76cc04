#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "engine/engine_fixture.h"
#include "server/model_service.h"
#include "server/router.h"
#include "text/chat_template.h"

// Handlers, for tests: the engine over a tiny model, an I/O thread that is the test's own, and
// clients without a network.
namespace forerun {

// Jobs that wait for the test's thread to run them.
class ManualLoop final {
 public:
  PostToIo post() {
    return [this](std::function<void()> job) { add(std::move(job)); };
  }
  // Runs jobs until `done()`; false when that takes more than some seconds.
  bool run_until(const std::function<bool()>& done);

 private:
  void add(std::function<void()> job);

  std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<std::function<void()>> jobs_;
};

// What a client sees.
class FakeExchange final : public Exchange {
 public:
  explicit FakeExchange(HttpRequest request) : request_(std::move(request)) {}

  const HttpRequest& request() const override { return request_; }
  void reply(HttpResponse given) override {
    response = std::move(given);
    done = true;
  }
  void begin_stream(const std::string& content_type) override { stream_type = content_type; }
  void write(std::string bytes) override {
    written += bytes;
    ++writes;
  }
  void end_stream() override { done = true; }
  void on_abandoned(std::function<void()> callback) override { abandoned = std::move(callback); }

  HttpResponse response;
  std::string stream_type;
  std::string written;
  int writes = 0;
  bool done = false;
  std::function<void()> abandoned;

  OrderedJson json() const { return OrderedJson::parse(response.body); }
  // The events' data, without [DONE], which has to be there.
  std::vector<OrderedJson> events() const;

 private:
  const HttpRequest request_;
};
using FakeExchangePtr = std::shared_ptr<FakeExchange>;

class Api final {
 public:
  explicit Api(EngineThread::Limits limits = {});
  ~Api();

  // Begins a request; run() lets it go on.
  FakeExchangePtr begin(const std::string& method, const std::string& path,
                        const std::string& body = "", uint64_t salt = 0,
                        std::map<std::string, std::string> parameters = {});
  // And waits for its answer.
  FakeExchangePtr ask(const std::string& method, const std::string& path,
                      const std::string& body = "", uint64_t salt = 0,
                      std::map<std::string, std::string> parameters = {});
  void run_until(const std::function<bool()>& done);
  // Until the engine has nothing to do and holds no page.
  void run_until_empty();

  ManualLoop loop;
  ServerOptions options;
  std::unique_ptr<Team> team;
  std::unique_ptr<Engine> engine;
  std::optional<Tokenizer> tokenizer;
  std::unique_ptr<EngineThread> thread;
  std::unique_ptr<WorkerPool> workers;
  Metrics metrics{"vllm", "tiny"};
  std::unique_ptr<GrammarCompiler> grammars;
  std::unique_ptr<ModelService> service;
  Router router;
};

}  // namespace forerun
