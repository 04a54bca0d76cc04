#pragma once

#include <string>

#include "base/result.h"
#include "formats/hub_cache.h"

namespace forerun {

// One pull, stage by stage, in a working folder inside the model's own (so that the last step is a
// rename on one file system). The model's folder is locked meanwhile; what a killed pull left in
// the working folder is removed by the next.
class HubPull final {
 public:
  HubPull(const HubModel& model, std::string folder, const HubCache::Progress& progress);
  ~HubPull();
  HubPull(const HubPull&) = delete;
  HubPull& operator=(const HubPull&) = delete;

  Result<std::string> run();

 private:
  Status make_folder();
  Status lock_folder();
  Status check_space() const;
  Status download() const;
  Status check_wheels() const;
  Status unpack_all() const;
  // Returns the bytes unpacked so far, `done_bytes` of them before.
  Result<uint64_t> unpack(const HubFile& file, uint64_t done_bytes) const;
  Status move_into_place() const;
  std::string unpacked_folder() const { return work_folder_ + "/files"; }

  const HubModel& model_;
  const HubCache::Progress& progress_;
  std::string folder_;
  std::string work_folder_;
  int lock_fd_ = -1;
};

}  // namespace forerun
