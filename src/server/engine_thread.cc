#include "server/engine_thread.h"

#include <pthread.h>

#include <unordered_map>
#include <utility>
#include <variant>

#include "base/clock.h"

namespace forerun {
namespace {

// A submitted request on the engine's side.
struct Active {
  std::shared_ptr<GenerationListener> listener;
  RequestId id = 0;
  int unfinished = 0;  // choices
  bool started = false;
  bool in_batch = false;  // an event of the batch being gathered is its
};

struct Accepted {};
struct Started {
  double time;
};
struct Event {
  Active* who;  // lives as long as the batch
  std::variant<Accepted, Error, Started, GenerationPromptToken, GenerationToken, GenerationFinish>
      what;
};

// What one turn of the engine's thread has to tell.
struct Batch {
  std::vector<Event> events;
  std::vector<std::shared_ptr<Active>> actives;  // whose events they are

  void deliver();
};

void tell(GenerationListener& listener, Event& event) {
  struct Teller {
    GenerationListener& listener;
    void operator()(const Accepted&) { listener.on_accepted(); }
    void operator()(const Error& error) { listener.on_rejected(error); }
    void operator()(const Started& started) { listener.on_started(started.time); }
    void operator()(const GenerationPromptToken& token) { listener.on_prompt_token(token); }
    void operator()(const GenerationToken& token) { listener.on_token(token); }
    void operator()(GenerationFinish& finish) {
      finish.event.error = finish.error_text;
      listener.on_finish(finish);
    }
  };
  std::visit(Teller{listener}, event.what);
}

void Batch::deliver() {
  for (Event& event : events) tell(*event.who->listener, event);
  for (const auto& active : actives) active->listener->on_step_end();
}

std::vector<TokenLogprob> copied(std::span<const TokenLogprob> top) {
  return {top.begin(), top.end()};
}

}  // namespace

// Commands cross under `mutex`; everything below the line is the engine thread's own.
struct EngineThread::State {
  struct Submission {
    Ticket ticket;
    Request request;
    std::shared_ptr<GenerationListener> listener;
  };
  struct Cancellation {
    std::optional<Ticket> ticket;  // none: all
  };
  struct Flush {
    std::function<void()> done;
  };
  using Command = std::variant<Submission, Cancellation, Flush>;

  State(Engine& the_engine, PostToIo the_post, Limits the_limits)
      : engine(the_engine), post(std::move(the_post)), limits(the_limits) {}

  Engine& engine;
  const PostToIo post;
  const Limits limits;

  mutable std::mutex mutex;
  std::condition_variable wake;
  std::vector<Command> inbox;
  Ticket next_ticket = 1;
  bool draining = false;
  bool stopping = false;
  int64_t requests = 0;          // submitted and not finished
  int64_t requests_waiting = 0;  // of these, without a place
  EngineStats stats;
  double last_progress = 0.0;  // when a step ended, or work came to an idle engine
  std::thread thread;
  // ---
  std::unordered_map<Ticket, std::shared_ptr<Active>> actives;
  std::vector<std::pair<Ticket, std::shared_ptr<Active>>> done;  // in this turn
  Batch batch;
  int64_t newly_started = 0;
  int64_t ended_waiting = 0;

  void run();
  bool take_commands(bool busy, std::vector<Command>& commands);
  void obey(Submission& submission);
  void obey(const Cancellation& cancellation);
  void obey(Flush& flush);
  void attach(Request& request, Ticket ticket, const std::shared_ptr<Active>& active);
  void add_event(const std::shared_ptr<Active>& active, decltype(Event::what) what);
  void start(const std::shared_ptr<Active>& active);
  void end(Ticket ticket, const std::shared_ptr<Active>& active);
  void publish();
};

void EngineThread::State::run() {
  bool busy = false;
  std::vector<Command> commands;
  while (take_commands(busy, commands)) {
    for (Command& command : commands) {
      std::visit([this](auto& one) { obey(one); }, command);
    }
    commands.clear();
    busy = engine.step();
    publish();
  }
  for (const auto& [ticket, active] : actives) engine.cancel(active->id);
  engine.step();
  publish();
}

// Waits for something to do. False when the thread is to end.
bool EngineThread::State::take_commands(bool busy, std::vector<Command>& commands) {
  std::unique_lock lock(mutex);
  if (!busy) wake.wait(lock, [this] { return stopping || !inbox.empty(); });
  if (!busy) last_progress = now_seconds();
  commands.swap(inbox);
  return !stopping;
}

void EngineThread::State::obey(Submission& submission) {
  const auto active = std::make_shared<Active>();
  active->listener = std::move(submission.listener);
  active->unfinished = submission.request.n;
  attach(submission.request, submission.ticket, active);
  const Result<RequestId> id = engine.add(std::move(submission.request));
  if (!id.ok()) {
    add_event(active, id.error());
    ++ended_waiting;
    done.emplace_back(submission.ticket, active);
    return;
  }
  active->id = *id;
  actives.emplace(submission.ticket, active);
  add_event(active, Accepted{});
}

void EngineThread::State::obey(const Cancellation& cancellation) {
  if (!cancellation.ticket) {
    for (const auto& [ticket, active] : actives) engine.cancel(active->id);
  } else if (const auto found = actives.find(*cancellation.ticket); found != actives.end()) {
    engine.cancel(found->second->id);
  }
}

void EngineThread::State::obey(Flush& flush) {
  engine.flush_prefix_cache();
  post(std::move(flush.done));
}

// The callbacks hold the request's Active weakly: the engine may keep them a little longer than its
// listener may live on this thread.
void EngineThread::State::attach(Request& request, Ticket ticket,
                                 const std::shared_ptr<Active>& active) {
  const std::weak_ptr<Active> weak = active;
  request.on_start = [this, weak](const StartEvent&) { start(weak.lock()); };
  request.on_prompt_token = [this, weak](const PromptTokenEvent& event) {
    add_event(weak.lock(), GenerationPromptToken{event.position, event.token_id, event.logprob,
                                                 copied(event.top)});
  };
  request.on_token = [this, weak](const TokenEvent& event) {
    add_event(weak.lock(), GenerationToken{event.choice, event.token_id, event.logprob,
                                           copied(event.top), now_seconds()});
  };
  request.on_finish = [this, weak, ticket](const FinishEvent& event) {
    const std::shared_ptr<Active> ending = weak.lock();
    add_event(ending, GenerationFinish{event, std::string(event.error), now_seconds()});
    if (--ending->unfinished == 0) end(ticket, ending);
  };
}

void EngineThread::State::add_event(const std::shared_ptr<Active>& active,
                                    decltype(Event::what) what) {
  if (!std::exchange(active->in_batch, true)) batch.actives.push_back(active);
  batch.events.push_back({active.get(), std::move(what)});
}

void EngineThread::State::start(const std::shared_ptr<Active>& active) {
  active->started = true;
  ++newly_started;
  add_event(active, Started{now_seconds()});
}

void EngineThread::State::end(Ticket ticket, const std::shared_ptr<Active>& active) {
  if (!active->started) ++ended_waiting;
  done.emplace_back(ticket, active);
}

// Tells what has happened. Listeners must end on the I/O thread: the last reference to a finished
// one goes there with its batch.
void EngineThread::State::publish() {
  {
    const std::lock_guard lock(mutex);
    stats = engine.stats();
    requests_waiting -= newly_started + ended_waiting;
    requests -= static_cast<int64_t>(done.size());
    last_progress = now_seconds();
  }
  newly_started = 0;
  ended_waiting = 0;
  for (const auto& [ticket, active] : done) actives.erase(ticket);
  done.clear();
  if (batch.events.empty()) return;
  for (const auto& active : batch.actives) active->in_batch = false;
  // std::function wants to be copyable.
  auto told = std::make_shared<Batch>(std::exchange(batch, Batch()));
  post([told = std::move(told)] { told->deliver(); });
}

EngineThread::EngineThread(Engine& engine, PostToIo post, Limits limits)
    : state_(std::make_unique<State>(engine, std::move(post), limits)) {
  state_->thread = std::thread([state = state_.get()] { state->run(); });
  pthread_setname_np(state_->thread.native_handle(), "forerun-engine");
}

EngineThread::~EngineThread() {
  stop();
}

EngineThread::Submitted EngineThread::submit(Request request,
                                             std::shared_ptr<GenerationListener> listener) {
  State& state = *state_;
  Submitted submitted;
  {
    const std::lock_guard lock(state.mutex);
    // Who finds a free place does not count as waiting.
    const int64_t running = state.requests - state.requests_waiting;
    const int64_t places = std::max<int64_t>(0, state.limits.max_running - running);
    if (state.draining || state.stopping) {
      submitted.refusal = Refusal::kDraining;
      return submitted;
    }
    if (state.requests_waiting >= state.limits.max_waiting + places) {
      submitted.refusal = Refusal::kFull;
      return submitted;
    }
    submitted.ticket = state.next_ticket++;
    state.inbox.emplace_back(
        State::Submission{submitted.ticket, std::move(request), std::move(listener)});
    ++state.requests;
    ++state.requests_waiting;
  }
  state.wake.notify_one();
  return submitted;
}

void EngineThread::command(decltype(State::inbox)::value_type command) {
  {
    const std::lock_guard lock(state_->mutex);
    state_->inbox.push_back(std::move(command));
  }
  state_->wake.notify_one();
}
