#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "formats/http_client.h"
#include "formats/hub_name.h"

namespace forerun {

// How the hub is reached.
struct HubSettings {
  std::string endpoint = "https://huggingface.co";  // no slash at the end
  std::string token = {};                           // empty: none
  int tries = 4;                    // of a request that fails for a reason that may pass
  double first_wait_seconds = 0.5;  // before the second try; doubled each time

  // HF_ENDPOINT; FORERUN_HUB_TOKEN, else HF_TOKEN. An Error names the one that cannot be.
  static Result<HubSettings> from_environment();
};

// A file of a repository as the hub lists it.
struct HubEntry {
  std::string path;
  uint64_t size_bytes = 0;
  std::string blob_sha1;  // of git, of the file or of what stands for it
  std::string sha256;     // of a large file; empty for one that git holds
};

// The hub's HTTP API. What fails for a reason that may pass (a server's error, a broken connection,
// too many requests) is tried again. Nothing the hub sends is trusted: its answers are limited in
// size and depth, and names in them are checked.
class HubClient final {
 public:
  explicit HubClient(HubSettings settings) : settings_(std::move(settings)) {}

  // The commit that a revision is now.
  Result<std::string> commit_of(const HubName& name);

  // Every file of a commit. An Error when one of them would leave the folder it is put into.
  Result<std::vector<HubEntry>> files_of(const HubName& name, const std::string& commit);

  // One file of a commit, from `begin_bytes` on if the hub still has what `etag` stands for (it
  // must be a strong one). Not tried again: the bytes that came may be kept. `on_begin` is told
  // where they begin, 0 or `begin_bytes`, and the ETag to go on with, empty if that cannot be done.
  struct FileRequest {
    std::string commit;
    const HubEntry* file = nullptr;
    uint64_t begin_bytes = 0;
    std::string etag = {};
    std::function<Status(uint64_t begin_bytes, const std::string& etag)> on_begin;
    std::function<Status(std::span<const uint8_t>)> on_bytes;
  };
  HttpEnd get_file(const HubName& name, const FileRequest& request);

  // Why a request failed, as a sentence: what does not exist, what needs a token.
  Error explain(const HubName& name, const std::string& what, const HttpEnd& end) const;

  // Waits before try number `done` + 1; false when there shall be none.
  bool wait_for_another_try(int done, const HttpEnd& end) const;

 private:
  Result<std::string> get_json(const HubName& name, const std::string& what, const std::string& url,
                               HttpHead& head);
  Result<std::string> next_page(const HttpHead& head) const;

  HubSettings settings_;
  HttpClient http_;
};

}  // namespace forerun
