#include "server/api_fixture.h"

#include <chrono>
#include <utility>

#include "base/check.h"
#include "server/api_routes.h"
#include "text/text_fixture.h"

namespace forerun {
namespace {

constexpr char kTemplate[] =
    "{% for m in messages %}<|start|>{{ m['role'] }}: {{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant: {% endif %}";

Tokenizer make_tokenizer() {
  Result<Tokenizer> tokenizer = Tokenizer::create(byte_level_fixture());
  CHECK(tokenizer.ok(), tokenizer.error().message);
  return tokenizer->with({.bos_id = kFixtureStart,
                          .eos_id = kFixtureEnd,
                          .end_ids = {kFixtureEnd},
                          .chat_template = kTemplate});
}

std::unique_ptr<Engine> make_engine(const Tokenizer& tokenizer, Team& team) {
  EngineOptions options;
  options.eos_ids = {kFixtureEnd};
  options.kv_tokens = 4096;
  const int64_t vocab_size = tiny_model().descriptor().vocab_size;
  for (int32_t id = 0; id < vocab_size; ++id) {
    options.token_bytes.emplace_back(tokenizer.token_bytes(id));
  }
  Result<std::unique_ptr<Engine>> engine =
      Engine::create(tiny_model(), kernel_table(Isa::kGeneric), team, std::move(options));
  CHECK(engine.ok(), engine.error().message);
  return std::move(*engine);
}

}  // namespace

void ManualLoop::add(std::function<void()> job) {
  {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
  }
  ready_.notify_one();
}

bool ManualLoop::run_until(const std::function<bool()>& done) {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::seconds(60);
  while (!done()) {
    std::function<void()> job;
    {
      std::unique_lock lock(mutex_);
      // Also looks at what changes without a job.
      ready_.wait_for(lock, std::chrono::milliseconds(5), [this] { return !jobs_.empty(); });
      if (jobs_.empty()) {
        if (Clock::now() > end) return false;
        continue;
      }
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
    job();
  }
  return true;
}

std::vector<OrderedJson> FakeExchange::events() const {
  std::vector<OrderedJson> events;
  std::string_view rest = written;
  bool ended = false;
  while (!rest.empty()) {
    const size_t end = rest.find("\n\n");
    CHECK(rest.starts_with("data: ") && end != std::string_view::npos, written);
    CHECK(!ended, "something follows [DONE]");
    const std::string_view data = rest.substr(6, end - 6);
    ended = data == "[DONE]";
    if (!ended) events.push_back(OrderedJson::parse(data));
    rest.remove_prefix(end + 2);
  }
  CHECK(ended, "the stream has no end: " + written);
  return events;
}

Api::Api(EngineThread::Limits limits)
    : team(std::make_unique<Team>(1)), tokenizer(make_tokenizer()) {
  options.model_names = {"tiny"};
  engine = make_engine(*tokenizer, *team);
  thread = std::make_unique<EngineThread>(*engine, loop.post(), limits);
  workers = std::make_unique<WorkerPool>("test-worker", /*num_threads=*/2, /*max_queued=*/64);
  grammars = std::make_unique<GrammarCompiler>(*tokenizer);
  service = std::unique_ptr<ModelService>(
      new ModelService{.options = options,
                       .tokenizer = &*tokenizer,
                       .tokenizer_error = {},
                       .sampling_defaults = {},
                       .fingerprint = engine->fingerprint(),
                       .context_length = engine->context_length(),
                       .vocab_size = tiny_model().descriptor().vocab_size,
                       .created = 1,
                       .engine = *thread,
                       .workers = *workers,
                       .metrics = metrics,
                       .post = loop.post(),
                       .chat_format = read_chat_format(tokenizer->chat_template()),
                       .grammars = grammars.get()});
  add_api_routes(router, *service);
}

Api::~Api() {
  workers.reset();
  thread->stop();
}

FakeExchangePtr Api::begin(const std::string& method, const std::string& path,
                           const std::string& body, uint64_t salt,
                           std::map<std::string, std::string> parameters) {
  HttpRequest request;
  request.method = method;
  request.path = path;
  request.body = body;
  request.salt = salt;
  request.path_parameters = std::move(parameters);
  auto exchange = std::make_shared<FakeExchange>(std::move(request));
  for (const Route& route : router.routes()) {
    if (route.method != method || route.pattern != path) continue;
    route.handle(exchange);
    return exchange;
  }
  check_failed(__FILE__, __LINE__, "a route", method + " " + path + " is not there");
}

FakeExchangePtr Api::ask(const std::string& method, const std::string& path,
                         const std::string& body, uint64_t salt,
                         std::map<std::string, std::string> parameters) {
  const FakeExchangePtr exchange = begin(method, path, body, salt, std::move(parameters));
  run_until([&] { return exchange->done; });
  return exchange;
}

void Api::run_until(const std::function<bool()>& done) {
  CHECK(loop.run_until(done), "it takes too long");
}

void Api::run_until_empty() {
  run_until([this] { return thread->idle() && thread->snapshot().engine.kv_pages_in_use == 0; });
}

}  // namespace forerun
