#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "online/file_descriptor.h"

namespace forerun {

// What is known of a head beside its weights.
struct HeadEntry {
  int64_t version = 0;     // from 1; given by the store
  int64_t parent = 0;      // the version it was trained from; 0: none
  int64_t vocabulary = 0;  // generation of the head's vocabulary
  int64_t created_s = 0;   // Unix time
  int64_t trained_tokens = 0;
  int64_t first_conversation = 0;  // of those it was trained on, by ordinal
  int64_t last_conversation = 0;
  uint64_t weights = 0;  // ModelWeights::fingerprint of the target
  std::map<std::string, double> metrics;
  std::vector<float> traffic;  // signature of the traffic it was trained on
};

// The EAGLE-3 heads of one target, in a folder that nobody but the user may read:
//
//   heads/000001/config.json, model.safetensors   as the trainer wrote them, loadable by themselves
//   heads/000001/head.json                        its HeadEntry
//   CURRENT                                       version of the head that drafts; 0 or absent:
//   none REFERENCE                                     likewise, of the one that drift is told by
//   events.jsonl                                  what happened, a JSON object a line
//
// A head appears under its number by one rename, of a folder whose files are on disk, and goes by
// one: killed at any instant, the store holds whole heads only, and CURRENT names one of them. What
// is left unfinished (*.partial) is swept when a process opens the store that no other has open.
//
// Nothing is kept in memory, so that several processes see the same; one of them writes. Errors
// name the file.
class HeadStore final {
 public:
  // Makes the folders where there are none. `weights`: the target's fingerprint.
  static Result<HeadStore> open(const std::string& folder, uint64_t weights);

  uint64_t weights() const { return weights_; }

  // Of all heads that are whole and for this target, by version.
  Result<std::vector<HeadEntry>> list() const;
  // An Error says why there is no such head.
  Result<HeadEntry> entry(int64_t version) const;
  // Where its config.json and model.safetensors lie.
  std::string head_folder(int64_t version) const;

  // The version of the head that drafts; 0: none.
  Result<int64_t> current() const;
  // The one that the current head was trained from, which is the one to go back to; 0: none.
  Result<int64_t> previous() const;
  // 0: none drafts from now on.
  Status activate(int64_t version);
  // The first that drafted, which drift is told by (change_point.h); 0: none has.
  Result<int64_t> reference() const;
  Status set_reference(int64_t version);

  // Takes the head that lies in a folder: its two files move into the store (from another file
  // system they are copied) and the folder goes. The version is the store's to give; it is
  // returned.
  Result<int64_t> publish(const std::string& folder, HeadEntry entry);
  // Copies a head in under a new version, without a parent: one that another store exported, or any
  // EAGLE-3 checkpoint, of which nothing is known but that it can be read.
  Result<int64_t> import_head(const std::string& folder);
  // Copies a head, with its head.json, to a folder that is not there yet.
  Status export_head(int64_t version, const std::string& folder) const;

  // Removes all but the newest `keep`, at least one. The current head, its parent and the pinned
  // ones stay.
  Status remove_old(int64_t keep, std::span<const int64_t> pinned = {});

  // Appends an object with a "kind" (published, verdict, activated, …) in one write, whole or, on a
  // full disk, in a part that is never read.
  Status append_event(const Json& event);
  // The last `most`, oldest first.
  Result<std::vector<Json>> read_events(size_t most) const;

 private:
  enum class Transfer { kMove, kCopy };
  HeadStore(std::string folder, uint64_t weights) : folder_(std::move(folder)), weights_(weights) {}
  Status make_folders() const;
  Status lock_and_sweep();
  Result<std::vector<int64_t>> versions() const;
  Result<int64_t> version_in(const std::string& path) const;
  Status write_version(const std::string& path, int64_t version);
  Status check(const std::string& folder, const HeadEntry& entry, Transfer transfer) const;
  Result<int64_t> add(const std::string& folder, HeadEntry entry, Transfer transfer);
  Status remove(int64_t version);
  std::string heads_folder() const { return folder_ + "/heads"; }
  std::string current_path() const { return folder_ + "/CURRENT"; }
  std::string reference_path() const { return folder_ + "/REFERENCE"; }
  std::string events_path() const { return folder_ + "/events.jsonl"; }

  std::string folder_;
  uint64_t weights_;
  FileDescriptor lock_;  // on the folder itself, shared by those that have it open
};

}  // namespace forerun
