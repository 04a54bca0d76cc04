#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace forerun {

// Threads for what a request needs before the engine sees it and what may take long: templates,
// tokenizing, grammars. Keeps both the I/O and the engine thread free of them.
class WorkerPool final {
 public:
  // `name` is the threads' name; at most `max_queued` jobs wait.
  WorkerPool(const std::string& name, int num_threads, int max_queued);
  ~WorkerPool();  // runs what is queued, then joins

  // False when the queue is full. A job must not throw.
  bool post(std::function<void()> job);

 private:
  void work();

  const size_t max_queued_;
  std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<std::function<void()>> jobs_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace forerun
