#include "engine/mask_maker.h"

#include <pthread.h>

#include <utility>

namespace forerun {

MaskMaker::MaskMaker() : thread_([this] { work(); }) {
  pthread_setname_np(thread_.native_handle(), "masks");
}

MaskMaker::~MaskMaker() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  given_.notify_one();
  thread_.join();
}

void MaskMaker::advance(std::shared_ptr<GrammarProgress> progress,
                        std::span<const int32_t> tokens) {
  give({std::move(progress), {tokens.begin(), tokens.end()}, /*is_draft=*/false});
}

void MaskMaker::follow(std::shared_ptr<GrammarProgress> progress, std::span<const int32_t> draft) {
  give({std::move(progress), {draft.begin(), draft.end()}, /*is_draft=*/true});
}

void MaskMaker::give(Job job) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    given_jobs_.push_back(std::move(job));
  }
  given_.notify_one();
}

void MaskMaker::wait() {
  std::unique_lock<std::mutex> lock(mutex_);
  made_.wait(lock, [this] { return given_jobs_.empty() && !working_; });
}

void MaskMaker::work() {
  std::vector<Job> jobs;
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    given_.wait(lock, [this] { return stopping_ || !given_jobs_.empty(); });
    if (given_jobs_.empty()) return;
    jobs.swap(given_jobs_);
    working_ = true;
    lock.unlock();
    for (const Job& job : jobs) {
      job.is_draft ? job.progress->follow(job.tokens) : job.progress->advance(job.tokens);
    }
    jobs.clear();
    lock.lock();
    working_ = false;
    made_.notify_one();
  }
}

}  // namespace forerun
