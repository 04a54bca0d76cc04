#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "server/exchange.h"

namespace forerun {

// What happens to submitted requests, told on the I/O thread in order. Choices are counted through
// all requests of a group: those of its first one, then of its second. Times are now_seconds() when
// it happened on the engine's thread.
struct GenerationStart {
  int choice = 0;             // the first one of the request that got a place
  int64_t cached_tokens = 0;  // of its prompt, found in the prefix cache
  double time = 0.0;
};
struct GenerationToken {
  int choice = 0;
  int32_t token_id = 0;
  std::optional<float> logprob;
  std::vector<TokenLogprob> top;
  double time = 0.0;
};
struct GenerationPromptToken {
  int choice = 0;  // the first one of its request
  int64_t position = 0;
  int32_t token_id = 0;
  float logprob = 0.0f;
  std::vector<TokenLogprob> top;
};
struct GenerationFinish {
  int choice = 0;
  FinishEvent event;  // `error` is empty: see `error_text`
  std::string error_text;
  double time = 0.0;
};

// Who is told. All on the I/O thread; exactly one of on_rejected and a first on_accepted comes, and
// after on_accepted every choice gets one on_finish.
class GenerationListener {
 public:
  virtual ~GenerationListener() = default;
  virtual void on_accepted() = 0;                    // all requests wait for a place now
  virtual void on_rejected(const Error& error) = 0;  // a field is out of its limits
  virtual void on_started(const GenerationStart& /*start*/) {}
  virtual void on_prompt_token(GenerationPromptToken&& /*token*/) {}
  virtual void on_token(GenerationToken token) = 0;
  virtual void on_finish(GenerationFinish finish) = 0;
  // The events of one engine step (or less) have all been told: the moment to write.
  virtual void on_step_end() {}
};

// The engine on a thread of its own. Requests cross to it by a bounded queue, and what they give
// comes back in one batch a step, posted to the I/O thread. Idle, it sleeps.
class EngineThread final {
 public:
  using Ticket = uint64_t;

  struct Limits {
    int max_running = 64;   // EngineOptions::max_sequences
    int max_waiting = 256;  // requests beyond those that find a free place
  };

  // Borrows the engine.
  EngineThread(Engine& engine, PostToIo post, Limits limits);
  ~EngineThread();  // stop()
  EngineThread(const EngineThread&) = delete;
  EngineThread& operator=(const EngineThread&) = delete;

  enum class Refusal : uint8_t { kFull, kDraining };
  struct Submitted {
    std::optional<Refusal> refusal;  // none: they were taken, and the listener is told the rest
    Ticket ticket = 0;
  };
  // A group of requests, all of which are taken, or none. From any thread. The requests' callbacks
  // are set here.
  Submitted submit(std::vector<Request> requests, std::shared_ptr<GenerationListener> listener);
  // The whole group, at the next step; what is finished or unknown is ignored.
  void cancel(Ticket ticket);
  void cancel_all();
  // `done` on the I/O thread.
  void flush_prefix_cache(std::function<void()> done);

  // As of the last step, and the queue as of now. From any thread.
  struct Snapshot {
    EngineStats engine;
    int64_t requests_running = 0;
    int64_t requests_waiting = 0;
    double seconds_since_step = 0.0;  // 0 while there is nothing to do
  };
  Snapshot snapshot() const;

  // Takes no more requests; those it has go on.
  void drain();
  bool draining() const;
  bool idle() const;  // nothing waits and nothing runs
  // Cancels everything and joins the thread. What has happened until then is posted before it
  // returns, and nothing after.
  void stop();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace forerun
