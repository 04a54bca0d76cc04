#include "formats/http_client.h"

#include <curl/curl.h>

#include <algorithm>
#include <cctype>
#include <charconv>

#include "base/check.h"
#include "base/version.h"

namespace forerun {
namespace {

constexpr int kMaxRedirects = 10;
constexpr long kConnectSeconds = 20;
constexpr long kStalledSeconds = 30;
constexpr size_t kMaxHeadBytes = 256 << 10;
constexpr size_t kMaxIgnoredBytes = 1 << 20;  // of the body of an error or a redirect

std::string lower(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return result;
}

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

bool is_good(int status) {
  return status >= 200 && status < 300;
}

bool is_redirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

// Failures of a connection, as opposed to those of what was asked for.
bool may_pass(CURLcode code) {
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
    case CURLE_SSL_CONNECT_ERROR:
      return true;
    default:
      return false;
  }
}

bool may_pass(int status) {
  return status == 408 || status == 429 || status >= 500;
}

// One answer while it comes.
struct Transfer {
  const HttpGet& request;
  HttpHead head = {};
  size_t head_bytes = 0;
  uint64_t body_bytes = 0;
  bool head_told = false;
  std::string refusal = {};  // why we broke it off

  bool refuse(std::string why) {
    refusal = std::move(why);
    return false;
  }

  bool take_line(std::string_view line) {
    head_bytes += line.size();
    if (head_bytes > kMaxHeadBytes) return refuse("the answer's head is too long");
    if (line.starts_with("HTTP/")) {  // of an interim answer, a proxy's, or the one that counts
      head = {};
      const std::string_view status = line.substr(std::min(line.find(' ') + 1, line.size()));
      std::from_chars(status.data(), status.data() + status.size(), head.status);
      return true;
    }
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) return true;
    head.fields.emplace_back(lower(line.substr(0, colon)), trimmed(line.substr(colon + 1)));
    return true;
  }

  bool tell_head() {
    if (head_told || !is_good(head.status)) return true;
    head_told = true;
    if (!request.on_head) return true;
    const Status status = request.on_head(head);
    return status.ok() || refuse(status.error().message);
  }

  bool take_body(std::span<const uint8_t> bytes) {
    body_bytes += bytes.size();
    if (!is_good(head.status)) {
      return body_bytes <= kMaxIgnoredBytes || refuse("an error came with a body without end");
    }
    if (!tell_head()) return false;
    if (body_bytes > request.max_bytes) {
      return refuse("more came than the " + std::to_string(request.max_bytes) +
                    " bytes that there may be");
    }
    const Status status = request.on_body(bytes);
    return status.ok() || refuse(status.error().message);
  }
};

size_t on_header(char* data, size_t size, size_t count, void* transfer) {
  const bool taken = static_cast<Transfer*>(transfer)->take_line({data, size * count});
  return taken ? size * count : 0;
}

size_t on_data(char* data, size_t size, size_t count, void* transfer) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(data);
  const bool taken = static_cast<Transfer*>(transfer)->take_body({bytes, size * count});
  return taken ? size * count : 0;
}

struct HeaderList {
  curl_slist* list = nullptr;
  ~HeaderList() { curl_slist_free_all(list); }
  void add(const std::string& line) { list = curl_slist_append(list, line.c_str()); }
};

std::string url_part(CURLU* url, CURLUPart part, unsigned flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, flags) != CURLUE_OK) return "";
  std::string copy(text);
  curl_free(text);
  return copy;
}

}  // namespace

std::string_view HttpHead::field(std::string_view name) const {
  const auto found = std::ranges::find_if(fields, [&](const auto& f) { return f.first == name; });
  return found == fields.end() ? std::string_view() : std::string_view(found->second);
}

struct HttpClient::Curl {
  CURL* handle = curl_easy_init();
  ~Curl() { curl_easy_cleanup(handle); }

  CURLcode run(const HttpGet& request, const std::string& url, bool own_host, Transfer& transfer) {
    curl_easy_reset(handle);
    HeaderList headers;
    for (const std::string& line : request.headers) headers.add(line);
    if (own_host && !request.token.empty()) headers.add("Authorization: Bearer " + request.token);
    curl_easy_setopt(handle, CURLOPT_URL, url.c_str());
    curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(handle, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(handle, CURLOPT_USERAGENT, ("forerun/" + std::string(kVersion)).c_str());
    curl_easy_setopt(handle, CURLOPT_HTTPHEADER, headers.list);
    curl_easy_setopt(handle, CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
    curl_easy_setopt(handle, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(handle, CURLOPT_LOW_SPEED_TIME, kStalledSeconds);
    curl_easy_setopt(handle, CURLOPT_TIMEOUT_MS, static_cast<long>(request.most_seconds * 1e3));
    curl_easy_setopt(handle, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(handle, CURLOPT_HEADERDATA, &transfer);
    curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(handle, CURLOPT_WRITEDATA, &transfer);
    return curl_easy_perform(handle);
  }

  std::string redirect_url() const {
    const char* url = nullptr;
    curl_easy_getinfo(handle, CURLINFO_REDIRECT_URL, &url);
    return url == nullptr ? "" : url;
  }

  double retry_after() const {
    curl_off_t seconds = 0;
    curl_easy_getinfo(handle, CURLINFO_RETRY_AFTER, &seconds);
    return static_cast<double>(seconds);
  }
};

HttpClient::HttpClient() : curl_(std::make_unique<Curl>()) {
  CHECK(curl_->handle != nullptr, "libcurl makes a handle wherever there is memory");
}

HttpClient::~HttpClient() = default;

HttpEnd HttpClient::get(const HttpGet& request) {
  HttpEnd end;
  std::string url = request.url;
  const std::string own_origin = url_origin(url);
  for (int redirects = 0; redirects <= kMaxRedirects; ++redirects) {
    const std::string origin = url_origin(url);
    const bool weaker = own_origin.starts_with("https:") && !origin.starts_with("https:");
    if (origin.empty() || weaker) {
      end.failure = "it leads to a URL that is not followed";
      return end;
    }
    Transfer transfer{request};
    const CURLcode code = curl_->run(request, url, origin == own_origin, transfer);
    if (code == CURLE_OK) transfer.tell_head();  // of an answer without a body
    end.head = std::move(transfer.head);
    end.failure = std::move(transfer.refusal);
    if (!end.failure.empty()) return end;
    if (code != CURLE_OK) {
      end.failure = curl_easy_strerror(code);
      end.may_pass = may_pass(code);
      return end;
    }
    if (!is_redirect(end.head.status)) {
      if (is_good(end.head.status)) return end;
      end.failure = "the answer is HTTP status " + std::to_string(end.head.status);
      end.may_pass = may_pass(end.head.status);
      end.retry_after_seconds = curl_->retry_after();
      return end;
    }
    url = curl_->redirect_url();
  }
  end.failure = "it is redirected more than " + std::to_string(kMaxRedirects) + " times";
  return end;
}

std::string url_origin(const std::string& url) {
  const std::unique_ptr<CURLU, void (*)(CURLU*)> parsed(curl_url(), curl_url_cleanup);
  if (curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), 0) != CURLUE_OK) return "";
  const std::string scheme = url_part(parsed.get(), CURLUPART_SCHEME);
  if (scheme != "http" && scheme != "https") return "";
  if (!url_part(parsed.get(), CURLUPART_USER).empty()) return "";
  return scheme + "://" + lower(url_part(parsed.get(), CURLUPART_HOST)) + ":" +
         url_part(parsed.get(), CURLUPART_PORT, CURLU_DEFAULT_PORT);
}

std::string url_encoded(std::string_view text) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string encoded;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0 || std::string_view("-._~").find(c) != std::string_view::npos) {
      encoded += c;
    } else {
      encoded += {'%', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return encoded;
}

}  // namespace forerun
