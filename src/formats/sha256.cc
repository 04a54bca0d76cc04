#include "formats/sha256.h"

#include <openssl/evp.h>

#include "base/check.h"
#include "base/mapped_file.h"

namespace forerun {

struct Sha256::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~State() { EVP_MD_CTX_free(context); }
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  CHECK(EVP_DigestInit_ex(state_->context, EVP_sha256(), nullptr) == 1,
        "every OpenSSL has SHA-256");
}

Sha256::~Sha256() = default;

void Sha256::add(std::span<const uint8_t> bytes) {
  CHECK(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()) == 1,
        "a digest takes any bytes until it is finished");
}

std::string Sha256::finish() {
  uint8_t digest[EVP_MAX_MD_SIZE];
  unsigned size_bytes = 0;
  CHECK(EVP_DigestFinal_ex(state_->context, digest, &size_bytes) == 1, "a digest is finished once");
  constexpr char kHex[] = "0123456789abcdef";
  std::string text;
  for (unsigned i = 0; i < size_bytes; ++i) {
    text += kHex[digest[i] >> 4];
    text += kHex[digest[i] & 15];
  }
  return text;
}

Result<std::string> sha256_of_file(const std::string& path,
                                   const std::function<void(uint64_t)>& progress) {
  const Result<MappedFile> file = MappedFile::open(path);
  if (!file.ok()) return file.error();
  constexpr size_t kPieceBytes = 4 << 20;
  const auto bytes = file->bytes();
  Sha256 digest;
  for (size_t done = 0; done < bytes.size();) {
    const auto piece = bytes.subspan(done, std::min(kPieceBytes, bytes.size() - done));
    digest.add(piece);
    done += piece.size();
    if (progress) progress(done);
  }
  return digest.finish();
}

}  // namespace forerun
