#include "server/engine_thread.h"

#include <pthread.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>
#include <variant>

#include "base/clock.h"

namespace forerun {
namespace {

using Listener = std::shared_ptr<GenerationListener>;

// A submitted group on the engine's side.
struct Group {
  struct Member {
    RequestId id = 0;
    int first_choice = 0;
    int unfinished = 0;  // choices
    bool started = false;
  };
  EngineThread::Ticket ticket = 0;
  Listener listener;
  std::vector<Member> members;
  int unfinished = 0;     // members
  bool rejected = false;  // nothing more is told
  bool in_batch = false;  // an event of the batch being gathered is its
};
using GroupPtr = std::shared_ptr<Group>;

struct Accepted {};
using Happening = std::variant<Accepted, Error, GenerationStart, GenerationPromptToken,
                               GenerationToken, GenerationFinish>;
struct Event {
  GenerationListener* listener;  // lives as long as the batch
  Happening what;
};

// What one turn of the engine's thread has to tell.
struct Batch {
  std::vector<Event> events;
  std::vector<GroupPtr> groups;  // whose events they are

  void deliver();
};

struct Teller {
  GenerationListener& listener;
  void operator()(Accepted) { listener.on_accepted(); }
  void operator()(const Error& error) { listener.on_rejected(error); }
  void operator()(const GenerationStart& start) { listener.on_started(start); }
  void operator()(GenerationPromptToken& token) { listener.on_prompt_token(std::move(token)); }
  void operator()(GenerationToken& token) { listener.on_token(std::move(token)); }
  void operator()(GenerationFinish& finish) { listener.on_finish(std::move(finish)); }
};

void Batch::deliver() {
  for (Event& event : events) std::visit(Teller{*event.listener}, event.what);
  for (const GroupPtr& group : groups) group->listener->on_step_end();
}

std::vector<TokenLogprob> copied(std::span<const TokenLogprob> top) {
  return {top.begin(), top.end()};
}

}  // namespace

// Commands cross under `mutex`; everything below the line is the engine thread's own.
struct EngineThread::State {
  struct Submission {
    Ticket ticket;
    std::vector<Request> requests;
    Listener listener;
  };
  struct Cancellation {
    std::optional<Ticket> ticket;  // none: all
  };
  struct Flush {
    std::function<void()> done;
  };
  using Command = std::variant<Submission, Cancellation, Flush>;

  State(Engine& the_engine, PostToIo the_post, Limits the_limits)
      : engine(the_engine), post(std::move(the_post)), limits(the_limits), stats(engine.stats()) {}

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
  std::unordered_map<Ticket, GroupPtr> groups;
  std::vector<Ticket> ended_groups;  // in this turn, as what follows
  Batch batch;
  int64_t left_queue = 0;
  int64_t ended = 0;

  void send(Command command);
  void run();
  bool take_commands(bool busy, std::vector<Command>& commands);
  void obey_all(std::vector<Command>& commands);
  void obey(Submission& submission);
  void obey(const Cancellation& cancellation);
  void obey(Flush& flush);
  Status add(Group& group, Request request);
  void reject(Group& group, const Error& error, size_t not_added);
  void tell(Group& group, Happening what);
  void start(Group& group, size_t member, const StartEvent& event);
  void finish(Group& group, size_t member, const FinishEvent& event);
  void publish();
};

void EngineThread::State::run() {
  bool busy = false;
  std::vector<Command> commands;
  while (take_commands(busy, commands)) {
    obey_all(commands);
    busy = engine.step();
    publish();
  }
  obey_all(commands);
  obey(Cancellation{});
  engine.step();
  publish();
}

// Waits for something to do. False when the thread is to end.
bool EngineThread::State::take_commands(bool busy, std::vector<Command>& commands) {
  std::unique_lock lock(mutex);
  if (!busy) {
    wake.wait(lock, [this] { return stopping || !inbox.empty(); });
    last_progress = now_seconds();  // it could do nothing before
  }
  commands.swap(inbox);
  return !stopping;
}

void EngineThread::State::obey_all(std::vector<Command>& commands) {
  for (Command& command : commands) std::visit([this](auto& one) { obey(one); }, command);
  commands.clear();
}

void EngineThread::State::obey(Submission& submission) {
  const auto group = std::make_shared<Group>();
  group->ticket = submission.ticket;
  group->listener = std::move(submission.listener);
  groups.emplace(group->ticket, group);
  const size_t count = submission.requests.size();
  for (size_t i = 0; i < count; ++i) {
    const Status status = add(*group, std::move(submission.requests[i]));
    if (!status.ok()) return reject(*group, status.error(), count - i);
  }
  tell(*group, Accepted{});
}

// The callbacks' pointers hold as long as the request: `groups` keeps the group until it has
// finished.
Status EngineThread::State::add(Group& group, Request request) {
  const size_t member = group.members.size();
  Group::Member added;
  if (member > 0) {
    const Group::Member& last = group.members.back();
    added.first_choice = last.first_choice + last.unfinished;
  }
  added.unfinished = request.n;
  const int first = added.first_choice;
  Group* const who = &group;
  request.on_start = [this, who, member](const StartEvent& event) { start(*who, member, event); };
  request.on_prompt_token = [this, who, first](const PromptTokenEvent& event) {
    tell(*who, GenerationPromptToken{first, event.position, event.token_id, event.logprob,
                                     copied(event.top)});
  };
  request.on_token = [this, who, first](const TokenEvent& event) {
    tell(*who, GenerationToken{first + event.choice, event.token_id, event.logprob,
                               copied(event.top), now_seconds()});
  };
  request.on_finish = [this, who, member](const FinishEvent& event) {
    finish(*who, member, event);
  };
  const Result<RequestId> id = engine.add(std::move(request));
  if (!id.ok()) return id.error();
  added.id = *id;
  group.members.push_back(added);
  ++group.unfinished;
  return {};
}

void EngineThread::State::reject(Group& group, const Error& error, size_t not_added) {
  tell(group, error);
  group.rejected = true;
  for (const Group::Member& member : group.members) engine.cancel(member.id);
  left_queue += static_cast<int64_t>(not_added);
  ended += static_cast<int64_t>(not_added);
  if (group.unfinished == 0) ended_groups.push_back(group.ticket);
}

void EngineThread::State::obey(const Cancellation& cancellation) {
  for (const auto& [ticket, group] : groups) {
    if (cancellation.ticket && *cancellation.ticket != ticket) continue;
    for (const Group::Member& member : group->members) engine.cancel(member.id);
  }
}

void EngineThread::State::obey(Flush& flush) {
  engine.flush_prefix_cache();
  post(std::move(flush.done));
}

void EngineThread::State::tell(Group& group, Happening what) {
  if (group.rejected) return;
  if (!std::exchange(group.in_batch, true)) batch.groups.push_back(groups.at(group.ticket));
  batch.events.push_back({group.listener.get(), std::move(what)});
}

void EngineThread::State::start(Group& group, size_t member, const StartEvent& event) {
  group.members[member].started = true;
  ++left_queue;
  tell(group,
       GenerationStart{group.members[member].first_choice, event.cached_tokens, now_seconds()});
}

void EngineThread::State::finish(Group& group, size_t member, const FinishEvent& event) {
  Group::Member& of = group.members[member];
  GenerationFinish told{of.first_choice + event.choice, event, std::string(event.error),
                        now_seconds()};
  told.event.error = {};
  tell(group, std::move(told));
  if (--of.unfinished > 0) return;
  ++ended;
  if (!of.started) ++left_queue;
  if (--group.unfinished == 0) ended_groups.push_back(group.ticket);
}

// Tells what has happened. Listeners must end on the I/O thread: the last reference to a finished
// one goes there with its batch.
void EngineThread::State::publish() {
  {
    const std::lock_guard lock(mutex);
    stats = engine.stats();
    requests_waiting -= std::exchange(left_queue, 0);
    requests -= std::exchange(ended, 0);
    last_progress = now_seconds();
  }
  // std::function wants to be copyable.
  auto told = std::make_shared<Batch>(std::exchange(batch, Batch()));
  for (const GroupPtr& group : told->groups) group->in_batch = false;
  for (const Ticket ticket : ended_groups) {
    const auto node = groups.extract(ticket);
    // A rejected one has nothing to tell with its end.
    if (std::ranges::find(told->groups, node.mapped()) == told->groups.end()) {
      told->groups.push_back(node.mapped());
    }
  }
  ended_groups.clear();
  if (told->groups.empty()) return;
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

EngineThread::Submitted EngineThread::submit(std::vector<Request> requests, Listener listener) {
  State& state = *state_;
  const auto count = static_cast<int64_t>(requests.size());
  Submitted submitted;
  {
    const std::lock_guard lock(state.mutex);
    if (state.draining || state.stopping) {
      submitted.refusal = Refusal::kDraining;
      return submitted;
    }
    // Who finds a free place does not count as waiting.
    const int64_t running = state.requests - state.requests_waiting;
    const int64_t places = std::max<int64_t>(0, state.limits.max_running - running);
    if (state.requests_waiting + count > state.limits.max_waiting + places) {
      submitted.refusal = Refusal::kFull;
      return submitted;
    }
    submitted.ticket = state.next_ticket++;
    state.requests += count;
    state.requests_waiting += count;
    state.inbox.emplace_back(
        State::Submission{submitted.ticket, std::move(requests), std::move(listener)});
  }
  state.wake.notify_one();
  return submitted;
}

void EngineThread::State::send(Command command) {
  {
    const std::lock_guard lock(mutex);
    inbox.push_back(std::move(command));
  }
  wake.notify_one();
}

void EngineThread::cancel(Ticket ticket) {
  state_->send(State::Cancellation{ticket});
}

void EngineThread::cancel_all() {
  state_->send(State::Cancellation{});
}

void EngineThread::flush_prefix_cache(std::function<void()> done) {
  state_->send(State::Flush{std::move(done)});
}

EngineThread::Snapshot EngineThread::snapshot() const {
  const std::lock_guard lock(state_->mutex);
  Snapshot snapshot;
  snapshot.engine = state_->stats;
  snapshot.requests_waiting = state_->requests_waiting;
  snapshot.requests_running = state_->requests - state_->requests_waiting;
  if (state_->requests > 0) snapshot.seconds_since_step = now_seconds() - state_->last_progress;
  return snapshot;
}

void EngineThread::drain() {
  const std::lock_guard lock(state_->mutex);
  state_->draining = true;
}

bool EngineThread::draining() const {
  const std::lock_guard lock(state_->mutex);
  return state_->draining;
}

bool EngineThread::idle() const {
  const std::lock_guard lock(state_->mutex);
  return state_->requests == 0;
}

void EngineThread::stop() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
  }
  state_->wake.notify_one();
  if (state_->thread.joinable()) state_->thread.join();
}

}  // namespace forerun
