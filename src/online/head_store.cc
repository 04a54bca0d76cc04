#include "online/head_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <optional>
#include <system_error>

#include "base/hex.h"
#include "base/mapped_file.h"
#include "formats/eagle3_checkpoint.h"
#include "formats/json_members.h"
#include "formats/quote.h"
#include "formats/small_json_file.h"
#include "online/durable_file.h"

namespace forerun {
namespace {

namespace fs = std::filesystem;

constexpr std::array kHeadFiles = {"config.json", "model.safetensors"};
constexpr const char* kEntryFile = "head.json";
constexpr std::string_view kPartial = ".partial";
constexpr uint64_t kMostEntryBytes = 1 << 20;
constexpr size_t kMostTraffic = 1 << 14;

Error file_error(const char* what, const std::string& path, const std::error_code& code) {
  return Error{"cannot " + std::string(what) + " " + path + ": " + code.message()};
}

template <typename T>
std::optional<T> parse_number(std::string_view text, int base = 10) {
  T value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  const bool is_whole = failure == std::errc() && end == text.data() + text.size();
  return is_whole ? std::optional(value) : std::nullopt;
}

// Hubs' caches lay links to files; what is moved into the store must be the file itself.
bool is_file(const std::string& path, bool or_link = false) {
  std::error_code ignored;
  const fs::file_status status =
      or_link ? fs::status(path, ignored) : fs::symlink_status(path, ignored);
  return status.type() == fs::file_type::regular;
}

Status make_folder(const std::string& path) {
  if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return system_error("make", path);
  return {};
}

std::string to_text(const HeadEntry& entry) {
  const Json json = {{"version", entry.version},
                     {"parent", entry.parent},
                     {"vocabulary", entry.vocabulary},
                     {"created", entry.created_s},
                     {"trained_tokens", entry.trained_tokens},
                     {"conversations", {entry.first_conversation, entry.last_conversation}},
                     {"weights", hex(entry.weights)},
                     {"metrics", entry.metrics},
                     {"traffic", entry.traffic}};
  return json.dump(2, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace) + "\n";
}

void read_conversations(JsonMembers& members, HeadEntry& entry) {
  std::vector<int64_t> span;
  members.list("conversations", 2, [&](const Json& value) {
    if (value.is_number_integer()) span.push_back(value.get<int64_t>());
  });
  if (span.size() != 2) return members.fail("conversations is not the first and the last");
  entry.first_conversation = span[0];
  entry.last_conversation = span[1];
}

void read_metrics(JsonMembers& members, HeadEntry& entry) {
  const Json* metrics = members.find("metrics");
  if (metrics == nullptr || !metrics->is_object()) return members.fail("metrics is not an object");
  for (const auto& [name, value] : metrics->items()) {
    if (!value.is_number()) return members.fail("metric " + quote(name) + " is not a number");
    entry.metrics[name] = value.get<double>();
  }
}

Result<HeadEntry> read_entry(const std::string& path) {
  const Result<Json> json = read_json_object(path, kMostEntryBytes);
  if (!json.ok()) return json.error();
  Status status;
  JsonMembers members(*json, path, status);
  HeadEntry entry;
  entry.version = members.size("version");
  entry.parent = members.size("parent");
  entry.vocabulary = members.size("vocabulary");
  entry.created_s = members.size("created");
  entry.trained_tokens = members.size("trained_tokens");
  read_conversations(members, entry);
  const auto weights = parse_number<uint64_t>(members.text_or("weights", ""), 16);
  if (!weights.has_value()) members.fail("weights is not a fingerprint");
  entry.weights = weights.value_or(0);
  read_metrics(members, entry);
  members.list("traffic", kMostTraffic, [&](const Json& value) {
    if (!value.is_number()) return members.fail("traffic holds what is not a number");
    entry.traffic.push_back(value.get<float>());
  });
  if (!status.ok()) return status.error();
  return entry;
}

// Of a head that no store has exported, for the target of these weights.
Result<HeadEntry> entry_of_checkpoint(const std::string& folder, uint64_t weights) {
  const Result<Eagle3Checkpoint> checkpoint = Eagle3Checkpoint::open(folder);
  if (!checkpoint.ok()) return checkpoint.error();
  HeadEntry entry;
  entry.created_s = std::time(nullptr);
  entry.weights = weights;
  return entry;
}

// JSON has no infinity, and what is not a number would not be read again.
Status check_numbers(const HeadEntry& entry) {
  for (const auto& [name, value] : entry.metrics) {
    if (!std::isfinite(value)) return Error{"metric " + quote(name) + " of a head is not finite"};
  }
  for (const float value : entry.traffic) {
    if (!std::isfinite(value)) return Error{"a head's signature of the traffic is not finite"};
  }
  if (entry.traffic.size() > kMostTraffic)
    return Error{"a head's signature of the traffic is long"};
  return {};
}

Status copy_file(const std::string& from, const std::string& to) {
  std::error_code failure;
  fs::copy_file(from, to, failure);
  if (failure) return file_error("copy", from, failure);
  return sync_to_disk(to);
}

Status move_file(const std::string& from, const std::string& to) {
  if (std::rename(from.c_str(), to.c_str()) == 0) return sync_to_disk(to);
  if (errno != EXDEV) return system_error("rename", from);
  return copy_file(from, to);
}

}  // namespace

Result<HeadStore> HeadStore::open(const std::string& folder, uint64_t weights) {
  HeadStore store(folder, weights);
  if (Status status = store.make_folders(); !status.ok()) return status.error();
  if (Status status = store.lock_and_sweep(); !status.ok()) return status.error();
  return store;
}

Status HeadStore::make_folders() const {
  if (Status status = make_folder(folder_); !status.ok()) return status;
  if (Status status = make_folder(heads_folder()); !status.ok()) return status;
  return sync_to_disk(folder_);
}

// Only a process that is alone can tell what was left from what is at work.
Status HeadStore::lock_and_sweep() {
  lock_ = FileDescriptor(::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!lock_.is_open()) return system_error("open", folder_);
  if (flock(lock_.get(), LOCK_EX | LOCK_NB) == 0) {
    std::error_code failure;
    for (fs::directory_iterator entry(heads_folder(), failure);
         !failure && entry != fs::directory_iterator(); entry.increment(failure)) {
      if (!entry->path().native().ends_with(kPartial)) continue;
      fs::remove_all(entry->path(), failure);
      if (failure) break;
    }
    if (failure) return file_error("sweep", heads_folder(), failure);
  }
  if (flock(lock_.get(), LOCK_SH) != 0) return system_error("lock", folder_);
  return {};
}

std::string HeadStore::head_folder(int64_t version) const {
  std::string digits = std::to_string(version);
  digits.insert(0, digits.size() < 6 ? 6 - digits.size() : 0, '0');
  return heads_folder() + "/" + digits;
}

// Of every folder that a number names, ascending.
Result<std::vector<int64_t>> HeadStore::versions() const {
  std::vector<int64_t> found;
  std::error_code failure;
  for (fs::directory_iterator entry(heads_folder(), failure);
       !failure && entry != fs::directory_iterator(); entry.increment(failure)) {
    const auto version = parse_number<int64_t>(entry->path().filename().native());
    if (version.value_or(0) > 0 && entry->path() == head_folder(*version)) {
      found.push_back(*version);
    }
  }
  if (failure) return file_error("read", heads_folder(), failure);
  std::ranges::sort(found);
  return found;
}

Result<std::vector<HeadEntry>> HeadStore::list() const {
  const Result<std::vector<int64_t>> found = versions();
  if (!found.ok()) return found.error();
  std::vector<HeadEntry> entries;
  for (const int64_t version : *found) {
    Result<HeadEntry> one = entry(version);
    if (one.ok()) entries.push_back(std::move(*one));
  }
  return entries;
}

Result<HeadEntry> HeadStore::entry(int64_t version) const {
  const std::string folder = head_folder(version);
  Result<HeadEntry> entry = read_entry(folder + "/" + kEntryFile);
  if (!entry.ok()) return entry;
  if (entry->version != version) {
    return Error{folder + "/" + kEntryFile + " is that of version " +
                 std::to_string(entry->version)};
  }
  if (Status status = check(folder, *entry, Transfer::kMove); !status.ok()) return status.error();
  return entry;
}

Status HeadStore::check(const std::string& folder, const HeadEntry& entry,
                        Transfer transfer) const {
  for (const char* name : kHeadFiles) {
    const bool is_there = is_file(folder + "/" + name, /*or_link=*/transfer == Transfer::kCopy);
    if (!is_there) return Error{folder + " has no file " + name};
  }
  if (entry.weights != weights_) {
    return Error{"the head in " + folder + " was trained for the weights " + hex(entry.weights) +
                 "; this model's are " + hex(weights_)};
  }
  return {};
}

// 0 where there is no such file.
Result<int64_t> HeadStore::version_in(const std::string& path) const {
  std::error_code failure;
  if (!fs::exists(path, failure) && !failure) return int64_t{0};
  const Result<std::string> text = read_small_file(path, 64);
  if (!text.ok()) return text.error();
  const auto version = parse_number<int64_t>(text->substr(0, text->find('\n')));
  if (version.value_or(-1) < 0) return Error{path + " does not hold a version"};
  if (*version == 0) return int64_t{0};
  const Result<HeadEntry> head = entry(*version);
  if (!head.ok()) return Error{path + " names a head that cannot be used: " + head.error().message};
  return *version;
}

Status HeadStore::write_version(const std::string& path, int64_t version) {
  if (version != 0) {
    if (const auto head = entry(version); !head.ok()) return head.error();
  }
  return write_durably(path, std::to_string(version) + "\n");
}

Result<int64_t> HeadStore::current() const {
  return version_in(current_path());
}

Result<int64_t> HeadStore::reference() const {
  return version_in(reference_path());
}

Result<int64_t> HeadStore::previous() const {
  Result<int64_t> version = current();
  if (!version.ok() || *version == 0) return version;
  const Result<HeadEntry> head = entry(*version);
  if (!head.ok()) return head.error();
  return head->parent != 0 && entry(head->parent).ok() ? head->parent : int64_t{0};
}

Status HeadStore::activate(int64_t version) {
  return write_version(current_path(), version);
}

Status HeadStore::set_reference(int64_t version) {
  return write_version(reference_path(), version);
}

Result<int64_t> HeadStore::publish(const std::string& folder, HeadEntry entry) {
  Result<int64_t> version = add(folder, std::move(entry), Transfer::kMove);
  if (!version.ok()) return version;
  std::error_code ignored;  // the head is in the store
  fs::remove_all(folder, ignored);
  return version;
}

Result<int64_t> HeadStore::import_head(const std::string& folder) {
  const bool is_exported = is_file(folder + "/" + kEntryFile, /*or_link=*/true);
  Result<HeadEntry> entry =
      is_exported ? read_entry(folder + "/" + kEntryFile) : entry_of_checkpoint(folder, weights_);
  if (!entry.ok()) return entry.error();
  entry->parent = 0;  // a version of another store
  return add(folder, std::move(*entry), Transfer::kCopy);
}

Result<int64_t> HeadStore::add(const std::string& folder, HeadEntry entry, Transfer transfer) {
  if (Status status = check(folder, entry, transfer); !status.ok()) return status.error();
  if (Status status = check_numbers(entry); !status.ok()) return status.error();
  const Result<std::vector<int64_t>> taken = versions();
  if (!taken.ok()) return taken.error();
  entry.version = taken->empty() ? 1 : taken->back() + 1;
  const std::string partial = head_folder(entry.version) + std::string(kPartial);
  std::error_code failure;
  fs::remove_all(partial, failure);
  if (failure) return file_error("remove", partial, failure);
  const auto fill = [&]() -> Status {
    if (Status status = make_folder(partial); !status.ok()) return status;
    // The entry first: when the disk is full the trainer's files are still where they were.
    if (Status status = write_durably(partial + "/" + kEntryFile, to_text(entry)); !status.ok()) {
      return status;
    }
    for (const char* name : kHeadFiles) {
      const std::string from = folder + "/" + name;
      const std::string to = partial + "/" + name;
      Status status = transfer == Transfer::kMove ? move_file(from, to) : copy_file(from, to);
      if (!status.ok()) return status;
    }
    if (Status status = sync_to_disk(partial); !status.ok()) return status;
    return rename_durably(partial, head_folder(entry.version));
  };
  if (Status status = fill(); !status.ok()) {
    fs::remove_all(partial, failure);
    return status.error();
  }
  return entry.version;
}

Status HeadStore::export_head(int64_t version, const std::string& folder) const {
  if (const auto head = entry(version); !head.ok()) return head.error();
  if (mkdir(folder.c_str(), 0700) != 0) return system_error("make", folder);
  for (const char* name : {kHeadFiles[0], kHeadFiles[1], kEntryFile}) {
    Status status = copy_file(head_folder(version) + "/" + name, folder + "/" + name);
    if (!status.ok()) return status;
  }
  return sync_to_disk(folder);
}

Status HeadStore::remove_old(int64_t keep, std::span<const int64_t> pinned) {
  CHECK(keep >= 1, "the newest head's number would be given again");
  const Result<int64_t> active = current();
  if (!active.ok()) return active.error();
  const Result<int64_t> parent = previous();
  if (!parent.ok()) return parent.error();
  const Result<std::vector<HeadEntry>> heads = list();
  if (!heads.ok()) return heads.error();
  const int64_t num_old = static_cast<int64_t>(heads->size()) - keep;
  for (int64_t i = 0; i < num_old; ++i) {
    const int64_t version = (*heads)[static_cast<size_t>(i)].version;
    const bool stays = version == *active || version == *parent ||
                       std::ranges::find(pinned, version) != pinned.end();
    if (stays) continue;
    if (Status status = remove(version); !status.ok()) return status;
  }
  return {};
}

Status HeadStore::remove(int64_t version) {
  const std::string partial = head_folder(version) + std::string(kPartial);
  if (Status status = rename_durably(head_folder(version), partial); !status.ok()) return status;
  std::error_code failure;
  fs::remove_all(partial, failure);
  if (failure) return file_error("remove", partial, failure);
  return {};
}

Status HeadStore::append_event(const Json& event) {
  CHECK(event.is_object() && event.contains("kind"), "an event is an object with a kind");
  const std::string path = events_path();
  const FileDescriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  struct stat info = {};
  if (!file.is_open() || fstat(file.get(), &info) != 0) return system_error("open", path);
  std::string line =
      event.dump(/*indent=*/-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace) + "\n";
  // A line that was cut off is not to take this one with it.
  char last = '\n';
  if (info.st_size > 0 && pread(file.get(), &last, 1, info.st_size - 1) != 1) {
    return system_error("read", path);
  }
  if (last != '\n') line.insert(line.begin(), '\n');
  const ssize_t written = write(file.get(), line.data(), line.size());
  if (written == static_cast<ssize_t>(line.size())) return {};
  if (written >= 0) errno = ENOSPC;
  return system_error("write", path);
}

Result<std::vector<Json>> HeadStore::read_events(size_t most) const {
  std::vector<Json> events;
  std::error_code failure;
  if (!fs::exists(events_path(), failure) && !failure) return events;
  const Result<MappedFile> file = MappedFile::open(events_path());
  if (!file.ok()) return file.error();
  std::string_view text(reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size());
  while (!text.empty() && events.size() < most) {
    const size_t end = text.ends_with('\n') ? text.size() - 1 : text.size();
    const size_t before = end == 0 ? std::string_view::npos : text.rfind('\n', end - 1);
    const size_t begin = before == std::string_view::npos ? 0 : before + 1;
    Result<Json> event = parse_json(text.substr(begin, end - begin));
    if (event.ok() && event->is_object()) events.push_back(std::move(*event));
    text = text.substr(0, begin);
  }
  std::ranges::reverse(events);
  return events;
}

}  // namespace forerun
