#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "engine/grammar_progress.h"

namespace forerun {

// The thread that makes the masks of grammars while the model runs. One thread calls it.
class MaskMaker final {
 public:
  MaskMaker();
  ~MaskMaker();  // finishes what it was given
  MaskMaker(const MaskMaker&) = delete;
  MaskMaker& operator=(const MaskMaker&) = delete;

  // GrammarProgress::advance and ::follow. `progress` is the thread's until wait(), or for ever if
  // the caller lets go of it.
  void advance(std::shared_ptr<GrammarProgress> progress, std::span<const int32_t> tokens);
  void follow(std::shared_ptr<GrammarProgress> progress, std::span<const int32_t> draft);

  // Until everything is made. Sleeps.
  void wait();

 private:
  struct Job {
    std::shared_ptr<GrammarProgress> progress;
    std::vector<int32_t> tokens;
    bool is_draft;
  };
  void give(Job job);
  void work();

  std::mutex mutex_;
  std::condition_variable given_;
  std::condition_variable made_;
  std::vector<Job> given_jobs_;
  bool working_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace forerun
