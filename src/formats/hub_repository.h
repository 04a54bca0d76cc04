#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "formats/hub_client.h"
#include "formats/hub_name.h"

namespace forerun {

// What has been fetched of a model on the hub: `<home>/models/hub/<org>/<name>/<commit>/…` holds
// files as they lie in the repository, `…/refs/<revision>` the commit that a branch or tag was when
// it was pulled, and `<commit>/.complete` says that a whole model is there.
class HubRepository final {
 public:
  HubRepository(const std::string& home, HubName name);

  // The file or folder that the name stands for; nothing where it was not pulled.
  std::optional<std::string> find() const;

  struct Progress {
    std::function<void(uint64_t)> begins;      // with the bytes of all files
    std::function<void(uint64_t)> done_bytes;  // of them
  };
  // Fetches what is not there of the revision as it is now, and returns its path. `verify` checks
  // the digests of what is there already.
  Result<std::string> pull(HubClient& client, bool verify, const Progress& progress);

 private:
  std::string commit_folder(const std::string& commit) const { return folder_ + "/" + commit; }
  std::string ref_path() const;
  std::optional<std::string> find(const std::string& commit) const;
  Status check_space(const std::vector<HubEntry>& files, const std::string& folder) const;
  Status fetch(HubClient& client, const std::string& commit, bool verify,
               const Progress& progress) const;
  Status write_marks(const std::string& commit) const;

  const HubName name_;
  const std::string folder_;
};

}  // namespace forerun
