#include "formats/git_blob.h"

#include <openssl/evp.h>

#include <memory>

#include "base/check.h"
#include "base/mapped_file.h"

namespace forerun {

Result<std::string> git_blob_id(const std::string& path) {
  const Result<MappedFile> file = MappedFile::open(path);
  if (!file.ok()) return file.error();
  const auto bytes = file->bytes();
  const std::string head = "blob " + std::to_string(bytes.size()) + '\0';
  const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context(EVP_MD_CTX_new(),
                                                                   EVP_MD_CTX_free);
  uint8_t digest[EVP_MAX_MD_SIZE];
  unsigned size_bytes = 0;
  const bool done = EVP_DigestInit_ex(context.get(), EVP_sha1(), nullptr) == 1 &&
                    EVP_DigestUpdate(context.get(), head.data(), head.size()) == 1 &&
                    EVP_DigestUpdate(context.get(), bytes.data(), bytes.size()) == 1 &&
                    EVP_DigestFinal_ex(context.get(), digest, &size_bytes) == 1;
  CHECK(done, "every OpenSSL has SHA-1");
  constexpr char kHex[] = "0123456789abcdef";
  std::string text;
  for (unsigned i = 0; i < size_bytes; ++i) {
    text += kHex[digest[i] >> 4];
    text += kHex[digest[i] & 15];
  }
  return text;
}

}  // namespace forerun
