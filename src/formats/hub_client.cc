#include "formats/hub_client.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <thread>

#include "base/json.h"
#include "formats/quote.h"

namespace forerun {
namespace {

constexpr uint64_t kMaxJsonBytes = 16 << 20;
constexpr int kMaxJsonDepth = 32;
constexpr double kMaxJsonSeconds = 120.0;
constexpr int kMaxPages = 50;
constexpr size_t kMaxFiles = 20'000;
constexpr double kMaxWaitSeconds = 60.0;
constexpr uint64_t kMaxFileBytes = uint64_t{1} << 46;

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string text_field(const Json& object, const char* name) {
  if (!object.is_object()) return "";
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

uint64_t size_field(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_number_unsigned() ? found->get<uint64_t>() : UINT64_MAX;
}

// Each step encoded, the slashes kept.
std::string encoded_path(std::string_view path) {
  std::string encoded;
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    if (begin > 0) encoded += '/';
    encoded += url_encoded(path.substr(begin, end - begin));
    begin = end + 1;
  }
  return encoded;
}

Result<HubEntry> read_entry(const Json& item) {
  HubEntry entry;
  entry.path = text_field(item, "path");
  if (!is_inside_path(entry.path)) {
    return Error{"the hub lists a file called " + quote(entry.path) +
                 ", which would leave the model's folder; nothing was fetched"};
  }
  entry.size_bytes = size_field(item, "size");
  entry.blob_sha1 = text_field(item, "oid");
  if (const auto lfs = item.find("lfs"); lfs != item.end() && lfs->is_object()) {
    entry.sha256 = text_field(*lfs, "oid");
    entry.size_bytes = size_field(*lfs, "size");
    if (entry.sha256.size() != 64) entry.sha256 = "?";
  }
  const bool digest_fits =
      entry.sha256.empty() ? is_commit(entry.blob_sha1) : is_commit(entry.sha256);
  if (entry.size_bytes <= kMaxFileBytes && digest_fits) return entry;
  return Error{"the hub lists " + quote(entry.path) +
               " without a size and a digest to check it by"};
}

Status append_entries(const Json& page, std::vector<HubEntry>& entries) {
  if (!page.is_array()) return Error{"the hub's list of files is no array"};
  for (const Json& item : page) {
    if (text_field(item, "type") != "file") continue;
    Result<HubEntry> entry = read_entry(item);
    if (!entry.ok()) return entry.error();
    entries.push_back(*std::move(entry));
  }
  return {};
}

bool is_strong_etag(std::string_view etag) {
  return etag.size() > 2 && etag.front() == '"' && etag.back() == '"';
}

// Whether a partial answer is the one asked for: "bytes 100-199/200".
bool is_range(std::string_view field, uint64_t begin, uint64_t size) {
  return field == "bytes " + std::to_string(begin) + "-" + std::to_string(size - 1) + "/" +
                      std::to_string(size);
}

}  // namespace

Result<HubSettings> HubSettings::from_environment() {
  HubSettings settings;
  if (std::string endpoint = variable("HF_ENDPOINT"); !endpoint.empty()) {
    while (endpoint.ends_with('/')) endpoint.pop_back();
    if (url_origin(endpoint).empty() || endpoint.find_first_of("?#") != std::string::npos) {
      return Error{"HF_ENDPOINT must be the URL of a hub, http or https; it is " +
                   quote(endpoint, 300)};
    }
    settings.endpoint = std::move(endpoint);
  }
  for (const char* name : {"HF_TOKEN", "FORERUN_HUB_TOKEN"}) {
    const std::string token = variable(name);
    if (token.empty()) continue;
    const bool is_visible = std::ranges::all_of(token, [](char c) { return c > ' ' && c <= '~'; });
    if (!is_visible) return Error{std::string(name) + " has characters that no token has"};
    settings.token = token;
  }
  return settings;
}

Result<std::string> HubClient::commit_of(const HubName& name) {
  const std::string url = settings_.endpoint + "/api/models/" + name.repository() + "/revision/" +
                          url_encoded(name.revision);
  HttpHead head;
  const Result<std::string> text = get_json(name, "revision " + quote(name.revision), url, head);
  if (!text.ok()) return text.error();
  const Result<Json> answer = parse_json(*text, kMaxJsonDepth);
  if (!answer.ok())
    return Error{"the hub's answer about " + name.repository() + ": " + answer.error().message};
  std::string commit = text_field(*answer, "sha");
  if (is_commit(commit)) return commit;
  return Error{"the hub names no commit for " + name.repository() + "@" + name.revision};
}

Result<std::vector<HubEntry>> HubClient::files_of(const HubName& name, const std::string& commit) {
  std::vector<HubEntry> entries;
  std::string url = settings_.endpoint + "/api/models/" + name.repository() + "/tree/" + commit +
                    "?recursive=true";
  for (int page = 0; page < kMaxPages; ++page) {
    HttpHead head;
    const Result<std::string> text = get_json(name, "list of files", url, head);
    if (!text.ok()) return text.error();
    const Result<Json> answer = parse_json(*text, kMaxJsonDepth);
    if (!answer.ok()) return Error{"the hub's list of files: " + answer.error().message};
    if (Status status = append_entries(*answer, entries); !status.ok()) return status.error();
    if (entries.size() > kMaxFiles) break;
    Result<std::string> next = next_page(head);
    if (!next.ok()) return next.error();
    if (next->empty()) return entries;
    url = *std::move(next);
  }
  return Error{name.repository() + " has too many files: its list goes on after " +
               std::to_string(entries.size())};
}

// The URL of `<URL>; rel="next"`; empty where there is none.
Result<std::string> HubClient::next_page(const HttpHead& head) const {
  const std::string_view link = head.field("link");
  const size_t end = link.find(">; rel=\"next\"");
  if (end == std::string_view::npos) return std::string();
  std::string url(link.substr(0, end));
  url.erase(0, url.rfind('<') + 1);
  if (url.starts_with('/')) url = settings_.endpoint + url;
  if (url_origin(url) == url_origin(settings_.endpoint)) return url;
  return Error{"the hub's list of files goes on at another host: " + quote(url, 300)};
}

Result<std::string> HubClient::get_json(const HubName& name, const std::string& what,
                                        const std::string& url, HttpHead& head) {
  std::string text;
  HttpGet request;
  request.url = url;
  request.token = settings_.token;
  request.max_bytes = kMaxJsonBytes;
  request.most_seconds = kMaxJsonSeconds;
  request.on_head = [&](const HttpHead&) {
    text.clear();
    return Status();
  };
  request.on_body = [&](std::span<const uint8_t> bytes) {
    text.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return Status();
  };
  for (int done = 1;; ++done) {
    HttpEnd end = http_.get(request);
    if (end.failure.empty()) {
      head = std::move(end.head);
      return text;
    }
    if (!wait_for_another_try(done, end)) return explain(name, what, end);
  }
}

HttpEnd HubClient::get_file(const HubName& name, const FileRequest& wanted) {
  const bool resumes = wanted.begin_bytes > 0 && is_strong_etag(wanted.etag);
  HttpGet request;
  request.url = settings_.endpoint + "/" + name.repository() + "/resolve/" + wanted.commit + "/" +
                encoded_path(wanted.file->path);
  request.token = settings_.token;
  request.max_bytes = wanted.file->size_bytes;
  request.on_body = wanted.on_bytes;
  if (resumes) {
    request.headers = {"Range: bytes=" + std::to_string(wanted.begin_bytes) + "-",
                       "If-Range: " + wanted.etag};
  }
  request.on_head = [&](const HttpHead& head) -> Status {
    const std::string etag(head.field("etag"));
    const std::string kept = is_strong_etag(etag) ? etag : "";
    if (head.status == 200) return wanted.on_begin(0, kept);
    const bool fits =
        resumes && head.status == 206 &&
        is_range(head.field("content-range"), wanted.begin_bytes, wanted.file->size_bytes);
    if (fits) return wanted.on_begin(wanted.begin_bytes, kept);
    return Error{"the hub answers with another part of the file than was asked for"};
  };
  return http_.get(request);
}

Error HubClient::explain(const HubName& name, const std::string& what, const HttpEnd& end) const {
  const std::string where = name.repository() + " on " + settings_.endpoint;
  const std::string_view code = end.head.field("x-error-code");
  const int status = end.head.status;
  if (status == 401 || status == 403) {
    if (code == "RepoNotFound") {
      return Error{"there is no " + where +
                   ", or it is private: then set HF_TOKEN to a token that "
                   "may read it"};
    }
    const std::string wrong =
        settings_.token.empty()
            ? "set HF_TOKEN to a token of yours"
            : "the token that is set (HF_TOKEN, FORERUN_HUB_TOKEN) may not read it";
    return Error{where + " is gated or private: accept its terms at " + settings_.endpoint + "/" +
                 name.repository() + ", and " + wrong};
  }
  if (status == 404) {
    return Error{"there is no " + what + " of " + where + "; check the name"};
  }
  std::string sentence = "cannot fetch the " + what + " of " + where + ": " + end.failure;
  if (end.retry_after_seconds > 0) {
    sentence += "; it asks to be left alone for " +
                std::to_string(std::llround(end.retry_after_seconds)) + " s";
  }
  return Error{std::move(sentence)};
}

bool HubClient::wait_for_another_try(int done, const HttpEnd& end) const {
  if (!end.may_pass || done >= settings_.tries) return false;
  double seconds = settings_.first_wait_seconds;
  for (int i = 1; i < done; ++i) seconds *= 2;
  seconds = std::max(std::min(seconds, kMaxWaitSeconds), end.retry_after_seconds);
  if (seconds > kMaxWaitSeconds) return false;
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  return true;
}

}  // namespace forerun
