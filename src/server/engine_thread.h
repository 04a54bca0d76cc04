#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "engine/engine.h"
#include "server/exchange.h"

namespace forerun {

// What happens to a submitted request, told on the I/O thread in order. Times are now_seconds()
// when it happened on the engine's thread.
struct GenerationToken {
  int choice = 0;
  int32_t token_id = 0;
  std::optional<float> logprob;
  std::vector<TokenLogprob> top;
  double time = 0.0;
};
struct GenerationPromptToken {
  int64_t position = 0;
  int32_t token_id = 0;
  float logprob = 0.0f;
  std::vector<TokenLogprob> top;
};
struct GenerationFinish {
  FinishEvent event;  // `error` points into `error_text`
  std::string error_text;
  double time = 0.0;
};

// Who is told. All on the I/O thread; exactly one of on_rejected and a first on_accepted comes, and
// after on_accepted every choice gets one on_finish.
class GenerationListener {
 public:
  virtual ~GenerationListener() = default;
  virtual void on_accepted() = 0;                    // it waits for a place now
  virtual void on_rejected(const Error& error) = 0;  // a field is out of its limits
  virtual void on_started(double /*time*/) {}        // it has a place
  virtual void on_prompt_token(const GenerationPromptToken& /*token*/) {}
  virtual void on_token(const GenerationToken& token) = 0;
  virtual void on_finish(const GenerationFinish& finish) = 0;
  // The events of one engine step (or less) have all been told: the moment to write.
  virtual void on_step_end() {}
};

// The engine on a thread of its own. Requests cross to it by a bounded queue, and what they give
// comes back in one batch a step, posted to the I/O thread. Idle, it sleeps.
class EngineThread final {
 public:
  using Ticket = uint64_t;

  // Borrows the engine. `max_waiting`: requests submitted and without a place.
  EngineThread(Engine& engine, PostToIo post, int max_waiting);
  ~EngineThread();  // stop()

  enum class Refusal : uint8_t { kFull, kDraining };
  struct Submitted {
    std::optional<Refusal> refusal;  // none: it was taken, and the listener is told the rest
    Ticket ticket = 0;
  };
  // From any thread. The request's callbacks are set here.
  Submitted submit(Request request, std::shared_ptr<GenerationListener> listener);
  // At the next step; what is finished or unknown is ignored.
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
  // Cancels everything and joins the thread.
  void stop();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace forerun
