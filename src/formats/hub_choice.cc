#include "formats/hub_choice.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <iterator>
#include <map>
#include <string>
#include <string_view>

#include "formats/quote.h"

namespace forerun {
namespace {

constexpr std::array<std::string_view, 6> kPickles = {".bin",  ".pt",  ".pth",
                                                      ".ckpt", ".pkl", ".pickle"};
// What a directory is read from (hf_directory.h, sentence_encoder.h).
constexpr std::array<std::string_view, 11> kConfigs = {"config.json",
                                                       "generation_config.json",
                                                       "tokenizer.json",
                                                       "tokenizer_config.json",
                                                       "special_tokens_map.json",
                                                       "added_tokens.json",
                                                       "chat_template.jinja",
                                                       "chat_template.json",
                                                       "modules.json",
                                                       "sentence_bert_config.json",
                                                       "1_Pooling/config.json"};
constexpr std::string_view kIndex = "model.safetensors.index.json";
constexpr std::string_view kWeights = "model.safetensors";
constexpr size_t kMostNames = 40;
constexpr uint64_t kMaxParts = 999;

std::string size_text(uint64_t bytes) {
  const bool large = bytes >= 1'000'000'000;
  char text[32];
  std::snprintf(text, sizeof(text), large ? "%.1f GB" : "%.0f MB",
                static_cast<double>(bytes) / (large ? 1e9 : 1e6));
  return text;
}

bool is_pickle(std::string_view path) {
  return std::ranges::any_of(kPickles, [&](std::string_view end) { return path.ends_with(end); });
}

const HubEntry* find(const std::vector<HubEntry>& files, std::string_view path) {
  const auto found = std::ranges::find(files, path, &HubEntry::path);
  return found == files.end() ? nullptr : &*found;
}

template <typename Wanted>
std::vector<HubEntry> select(const std::vector<HubEntry>& files, Wanted wanted) {
  std::vector<HubEntry> selected;
  std::ranges::copy_if(files, std::back_inserter(selected), wanted);
  return selected;
}

Error pickles_refused(const std::string& what) {
  return Error{what +
               ": opening a pickle runs the code in it, so that forerun fetches and reads "
               "none; look for the model as safetensors or GGUF"};
}

Result<std::vector<HubEntry>> choose_named(const HubName& name,
                                           const std::vector<HubEntry>& files) {
  if (is_pickle(name.file)) return pickles_refused(quote(name.file) + " is a pickle");
  std::vector<HubEntry> chosen;
  for (const std::string& part : parts_of(name.file)) {
    const HubEntry* file = find(files, part);
    if (file == nullptr) return Error{name.repository() + " has no file " + quote(part)};
    chosen.push_back(*file);
  }
  return chosen;
}

// model.safetensors, or the shards beside an index; whatever else there is (adapters, a second copy
// in another layout) is not read.
std::vector<HubEntry> weights_of(const std::vector<HubEntry>& files) {
  if (const HubEntry* whole = find(files, kWeights)) return {*whole};
  if (find(files, kIndex) == nullptr) return {};
  return select(files, [](const HubEntry& file) {
    const std::string_view path = file.path;
    const bool is_shard = path.starts_with("model") && path.ends_with(".safetensors");
    return path == kIndex || (is_shard && path.find('/') == std::string_view::npos);
  });
}

// "a.gguf (1.2 GB), b.gguf (3 parts, 9.8 GB)"
std::string list_of(const std::vector<HubEntry>& ggufs) {
  std::map<std::string_view, uint64_t> sizes;
  for (const HubEntry& file : ggufs) sizes[file.path] = file.size_bytes;
  std::string list;
  size_t num_listed = 0;
  for (const HubEntry& file : ggufs) {
    const std::vector<std::string> parts = parts_of(file.path);
    if (parts.front() != file.path) continue;
    if (++num_listed > kMostNames) return list + ", …";
    uint64_t size_bytes = 0;
    for (const std::string& part : parts) size_bytes += sizes.contains(part) ? sizes[part] : 0;
    const std::string count =
        parts.size() > 1 ? std::to_string(parts.size()) + " parts, " : std::string();
    list += (list.empty() ? "" : ", ") + file.path + " (" + count + size_text(size_bytes) + ")";
  }
  return list;
}

Result<std::vector<HubEntry>> choose_model(const HubName& name,
                                           const std::vector<HubEntry>& files) {
  std::vector<HubEntry> chosen = weights_of(files);
  if (chosen.empty()) {
    const auto ggufs = select(files, [](const HubEntry& file) {
      return file.path.ends_with(".gguf") && is_plain_path(file.path);
    });
    if (!ggufs.empty()) {
      return Error{name.repository() + " has GGUF files; name one, as in " + name.repository() +
                   ":" + ggufs.front().path + ". There are: " + list_of(ggufs)};
    }
    if (std::ranges::any_of(files, is_pickle, &HubEntry::path)) {
      return pickles_refused(name.repository() + " has its weights as pickles only");
    }
    return Error{name.repository() + " holds no model: it has neither model.safetensors, " +
                 std::string(kIndex) + " nor a GGUF file"};
  }
  for (const HubEntry& file : files) {
    if (std::ranges::find(kConfigs, file.path) != kConfigs.end()) chosen.push_back(file);
  }
  return chosen;
}

}  // namespace

Result<std::vector<HubEntry>> choose_files(const HubName& name,
                                           const std::vector<HubEntry>& files) {
  Result<std::vector<HubEntry>> chosen =
      name.file.empty() ? choose_model(name, files) : choose_named(name, files);
  if (!chosen.ok()) return chosen;
  for (const HubEntry& file : *chosen) {
    if (!is_plain_path(file.path)) {
      return Error{"the hub lists a file called " + quote(file.path) +
                   ", which is no name that forerun gives to a file"};
    }
  }
  return chosen;
}

std::vector<std::string> parts_of(const std::string& path) {
  constexpr std::string_view kPattern = "-00000-of-00000.gguf";
  const auto is_digits = [](std::string_view text) {
    return std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
  };
  if (path.size() <= kPattern.size()) return {path};
  const size_t begin = path.size() - kPattern.size();
  const std::string_view end = std::string_view(path).substr(begin);
  const bool is_split = end[0] == '-' && end.substr(6, 4) == "-of-" && end.ends_with(".gguf") &&
                        is_digits(end.substr(1, 5)) && is_digits(end.substr(10, 5));
  const uint64_t count = is_split ? std::stoul(std::string(end.substr(10, 5))) : 0;
  if (count < 1 || count > kMaxParts) return {path};
  std::vector<std::string> parts;
  for (uint64_t i = 1; i <= count; ++i) {
    char suffix[40];
    std::snprintf(suffix, sizeof(suffix), "-%05u-of-%05u.gguf", static_cast<unsigned>(i),
                  static_cast<unsigned>(count));
    parts.push_back(path.substr(0, begin) + suffix);
  }
  return parts;
}

}  // namespace forerun
