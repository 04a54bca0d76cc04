#include "spec/history_file.h"

#include <cstring>
#include <filesystem>
#include <span>
#include <vector>

#include "base/mapped_file.h"
#include "formats/whole_file.h"

namespace forerun {
namespace {

namespace fs = std::filesystem;

// The first line, then for each sequence a Head and its tokens as int32, lowest byte first.
constexpr std::string_view kMagic = "forerun history 1\n";

struct Head {
  uint64_t scope;
  uint32_t epoch;
  uint32_t num_tokens;
};

template <typename T>
std::span<const uint8_t> bytes_of(std::span<const T> values) {
  return {reinterpret_cast<const uint8_t*>(values.data()), values.size_bytes()};
}

// A file's sequences one after the other; `take` may be called for some before a fault is found.
class Reader {
 public:
  Reader(const MappedFile& file, int64_t vocab_size)
      : path_(file.path()), bytes_(file.bytes()), vocab_size_(vocab_size) {}

  template <typename Take>
  Status read(Take take) {
    if (bytes_.size() < kMagic.size() ||
        std::memcmp(bytes_.data(), kMagic.data(), kMagic.size()) != 0) {
      return Error{path_ + " is not a history of forerun"};
    }
    at_ = kMagic.size();
    while (at_ < bytes_.size()) {
      Head head;
      if (!copy(&head, sizeof(head))) return cut();
      if (head.num_tokens > (bytes_.size() - at_) / sizeof(int32_t)) return cut();
      tokens_.resize(head.num_tokens);
      copy(tokens_.data(), tokens_.size() * sizeof(int32_t));
      for (const int32_t token : tokens_) {
        if (token >= 0 && token < vocab_size_) continue;
        return Error{path_ + " holds token " + std::to_string(token) +
                     "; the model's ids go from 0 to " + std::to_string(vocab_size_ - 1)};
      }
      take(head, std::span<const int32_t>(tokens_));
    }
    return {};
  }

 private:
  bool copy(void* out, size_t size) {
    if (bytes_.size() - at_ < size) return false;
    std::memcpy(out, bytes_.data() + at_, size);
    at_ += size;
    return true;
  }
  Error cut() const { return Error{path_ + " is cut off"}; }

  std::string path_;
  std::span<const uint8_t> bytes_;
  int64_t vocab_size_;
  size_t at_ = 0;
  std::vector<int32_t> tokens_;
};

}  // namespace

Status save_history(const HistoryIndex& index, const std::function<bool(HistoryScope)>& keeps,
                    const std::string& path) {
  Result<WholeFile> file = WholeFile::create(path, WholeFile::Readers::kOwner);
  if (!file.ok()) return file.error();
  file->write({reinterpret_cast<const uint8_t*>(kMagic.data()), kMagic.size()});
  index.visit_sequences([&](HistoryScope scope, uint32_t epoch, std::span<const int32_t> tokens) {
    if (!keeps(scope)) return;
    const Head head = {scope, epoch, static_cast<uint32_t>(tokens.size())};
    file->write(bytes_of(std::span<const Head>(&head, 1)));
    file->write(bytes_of(tokens));
  });
  return file->finish();
}

Status restore_history(const std::string& path, int64_t vocab_size, HistoryIndex& index) {
  std::error_code failure;
  if (!fs::exists(path, failure) && !failure) return {};
  const Result<MappedFile> file = MappedFile::open(path);
  if (!file.ok()) return file.error();
  Reader reader(*file, vocab_size);
  if (Status status = reader.read([](const Head&, std::span<const int32_t>) {}); !status.ok()) {
    return status;
  }
  return reader.read([&](const Head& head, std::span<const int32_t> tokens) {
    HistoryIndex::Sequence sequence = index.open(head.scope, head.epoch);
    index.append(sequence, tokens);
  });
}

}  // namespace forerun
