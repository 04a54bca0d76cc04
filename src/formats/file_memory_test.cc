// What reading a file costs is bounded by what the file holds, never by what it says: every kind of
// lie that GGUF readers have believed (CVE-2024-21802, -21825, -21836, -23496, -23605,
// CVE-2025-49847, -53630, CVE-2026-33298, -7482, -53923), with the memory each takes.
#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>
#include <new>

#include "formats/gguf.h"
#include "formats/gguf_writer.h"
#include "formats/safetensors.h"
#include "formats/safetensors_writer.h"

namespace {
thread_local int64_t live_bytes = 0;
thread_local int64_t peak_bytes = 0;

void* counted_malloc(size_t size) {
  void* memory = std::malloc(size > 0 ? size : 1);
  live_bytes += static_cast<int64_t>(malloc_usable_size(memory));
  peak_bytes = std::max(peak_bytes, live_bytes);
  return memory;
}

void counted_free(void* memory) {
  live_bytes -= static_cast<int64_t>(malloc_usable_size(memory));
  std::free(memory);
}
}  // namespace

// The global operators of this test program. Out of line, or GCC takes the malloc in one and the
// free in the other for a mismatch.
[[gnu::noinline]] void* operator new(size_t size) {
  void* memory = counted_malloc(size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
[[gnu::noinline]] void* operator new(size_t size, const std::nothrow_t&) noexcept {
  return counted_malloc(size);
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
  counted_free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept {
  counted_free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, const std::nothrow_t&) noexcept {
  counted_free(memory);
}

namespace forerun {
namespace {

using Bytes = std::vector<uint8_t>;

// The most bytes that were allocated at once while `work` ran.
template <typename Work>
int64_t peak_bytes_of(const Work& work) {
  const int64_t before = live_bytes;
  peak_bytes = before;
  work();
  return peak_bytes - before;
}

TEST(PeakBytes, CountsWhatIsThereAtOnce) {
  EXPECT_EQ(peak_bytes_of([] {}), 0);
  const int64_t one = peak_bytes_of([] { std::string(100'000, 'x'); });
  EXPECT_GE(one, 100'000);
  EXPECT_EQ(peak_bytes_of([] {
              for (int i = 0; i < 3; ++i) std::string(100'000, 'x');
            }),
            one);
}

template <typename T>
std::array<uint8_t, sizeof(T)> bytes_of(T value) {
  return std::bit_cast<std::array<uint8_t, sizeof(T)>>(value);
}

struct Lie {
  const char* what;
  Bytes file;
};

// A file of one metadata entry of every kind and two tensors, and where its fields are.
class Liar final {
 public:
  Liar() {
    GgufWriter writer;
    writer.add_string("s", "text");
    writer.add_strings("a", std::vector<std::string>{"x", "y"});
    writer.add_i32s("i", std::vector<int32_t>{1, 2});
    writer.set_alignment(32);
    writer.add_f32_tensor("t", {2, 4}, std::vector<float>(8));
    writer.add_f32_tensor("u", {8}, std::vector<float>(8));
    file_ = writer.encode();
  }

  const Bytes& file() const { return file_; }

  // The file with `value` in place of the bytes `offset` bytes after the first `text`.
  template <typename T>
  Bytes with(std::string_view text, ptrdiff_t offset, T value) const {
    Bytes changed = file_;
    const auto place = std::search(changed.begin(), changed.end(), text.begin(), text.end());
    const auto bytes = bytes_of(value);
    std::copy(bytes.begin(), bytes.end(), place + offset);
    return changed;
  }

 private:
  Bytes file_;
};

// Offsets: a key is followed by its type (4 bytes); a string then by its length; an array by
// element type (4) and count (8). A tensor's name is followed by the number of dimensions (4), each
// dimension (8), type (4), offset (8).
std::vector<Lie> lies() {
  const Liar liar;
  using std::string_view_literals::operator""sv;
  const std::string_view name_of_t = "\1\0\0\0\0\0\0\0t"sv;
  constexpr uint64_t kHuge = UINT64_MAX / 16;
  return {
      {"tensor count", liar.with<uint64_t>("GGUF", 8, kHuge)},
      {"metadata count", liar.with<uint64_t>("GGUF", 16, kHuge)},
      {"metadata count, to wrap a product", liar.with<uint64_t>("GGUF", 16, (kHuge >> 2) + 2)},
      {"length of a key", liar.with<uint64_t>("GGUF", 24, kHuge)},
      {"length of a string", liar.with<uint64_t>("text", -8, kHuge)},
      {"length of a string, negative as an int", liar.with<uint64_t>("text", -8, 0xffffffffull)},
      {"length of a string, to wrap a sum", liar.with<uint64_t>("text", -8, UINT64_MAX)},
      {"element count of strings", liar.with<uint64_t>("a\x09\0\0\0"sv, 9, kHuge)},
      {"element count of integers", liar.with<uint64_t>("i\x09\0\0\0"sv, 9, kHuge)},
      {"element count, to wrap a product",
       liar.with<uint64_t>("i\x09\0\0\0"sv, 9, (1ull << 62) + 1)},
      {"alignment", liar.with<uint32_t>("general.alignment", 21, 3u << 30)},
      {"alignment, negative", liar.with<uint32_t>("general.alignment", 21, -32)},
      {"alignment 0", liar.with<uint32_t>("general.alignment", 21, 0)},
      {"dimension count", liar.with<uint32_t>(name_of_t, 9, 1u << 31)},
      {"dimension", liar.with<uint64_t>(name_of_t, 13, 1ull << 61)},
      {"dimension, negative", liar.with<uint64_t>(name_of_t, 13, -4)},
      {"dimensions, to wrap a product", liar.with<uint64_t>(name_of_t, 21, 1ull << 62)},
      {"type", liar.with<uint32_t>(name_of_t, 29, 1u << 31)},
      {"type of larger elements", liar.with<uint32_t>(name_of_t, 29, 28u)},
      {"offset past the end", liar.with<uint64_t>(name_of_t, 33, 1ull << 40)},
      {"offset, to wrap a sum", liar.with<uint64_t>(name_of_t, 33, UINT64_MAX - 31)},
      {"offset into another tensor", liar.with<uint64_t>(name_of_t, 33, 32)},
  };
}

// Space for the sentence and for what the reader learned before it met the lie.
constexpr int64_t kFewBytes = 8 << 10;

TEST(GgufMemory, ALieIsAnErrorAndCostsNothing) {
  const Bytes honest = Liar().file();
  ASSERT_TRUE(Gguf::parse(honest, "x.gguf").ok());
  for (const GgufTypes types : {GgufTypes::kSupported, GgufTypes::kAny}) {
    for (const Lie& lie : lies()) {
      ASSERT_NE(lie.file, honest) << lie.what;
      std::string message;
      const int64_t peak = peak_bytes_of([&] {
        const Result<Gguf> gguf = Gguf::parse(lie.file, "x.gguf", types);
        if (!gguf.ok()) message = gguf.error().message;
      });
      EXPECT_FALSE(message.empty()) << lie.what;
      EXPECT_LE(peak, kFewBytes) << lie.what;
    }
  }
}

// Sums of sizes that wrap (CVE-2025-53630): every size alone is possible.
TEST(GgufMemory, ManyLargeTensorsAreHeldAgainstTheFile) {
  Bytes file = {'G', 'G', 'U', 'F'};
  const auto put = [&](auto value) {
    const auto bytes = bytes_of(value);
    file.insert(file.end(), bytes.begin(), bytes.end());
  };
  put(uint32_t{3});
  put(uint64_t{16});
  put(uint64_t{0});
  for (uint64_t i = 0; i < 16; ++i) {
    put(uint64_t{2});
    file.push_back('t');
    file.push_back(static_cast<uint8_t>('a' + i));
    put(uint32_t{1});
    put(uint64_t{1} << 58);  // elements of four bytes: 2^60, sixteen of which make 2^64
    put(uint32_t{0});
    put(i << 60);
  }
  file.resize((file.size() + 31) / 32 * 32 + 64);
  const int64_t peak = peak_bytes_of([&] {
    const Result<Gguf> gguf = Gguf::parse(file, "x.gguf");
    ASSERT_FALSE(gguf.ok());
    EXPECT_NE(gguf.error().message.find("is the file cut short?"), std::string::npos)
        << gguf.error().message;
  });
  EXPECT_LE(peak, kFewBytes);
}

// The smallest entries and tensor infos that can be, very many of them.
TEST(GgufMemory, AFileCostsAFewTimesItsHeader) {
  GgufWriter writer;
  for (int i = 0; i < 3000; ++i) writer.add_bool("k" + std::to_string(i), true);
  for (int i = 0; i < 3000; ++i) {
    writer.add_tensor("t" + std::to_string(i), DType::kF16, {1}, Bytes(2));
  }
  writer.add_strings("strings", std::vector<std::string>(10'000));
  const Bytes file = writer.encode();
  const auto file_bytes = static_cast<int64_t>(file.size());
  EXPECT_LE(peak_bytes_of([&] { ASSERT_TRUE(Gguf::parse(file, "x.gguf").ok()); }), 6 * file_bytes);
  const Result<Gguf> gguf = Gguf::parse(file, "x.gguf");
  EXPECT_LE(peak_bytes_of([&] { ASSERT_TRUE(gguf->get_strings("strings").ok()); }),
            3 * int64_t{10'000 * 8});
}

// A vocabulary the size of SmolLM2's is walked, not copied.
TEST(GgufMemory, AVocabularyCostsNothing) {
  std::vector<std::string> tokens;
  tokens.reserve(49'152);
  for (int i = 0; i < 49'152; ++i) tokens.push_back("token" + std::to_string(i));
  GgufWriter writer;
  writer.add_strings("tokenizer.ggml.tokens", tokens);
  writer.add_strings("tokenizer.ggml.merges", tokens);
  const Bytes file = writer.encode();
  EXPECT_LE(peak_bytes_of([&] { ASSERT_TRUE(Gguf::parse(file, "x.gguf").ok()); }), kFewBytes);
}

// A safetensors file of `header` that says it is `length` bytes long, and 64 bytes of data.
Bytes safetensors_of(const std::string& header, uint64_t length) {
  const auto size = std::bit_cast<std::array<char, 8>>(length);
  const std::string file = std::string(size.begin(), size.end()) + header + std::string(64, '\0');
  return Bytes(file.begin(), file.end());
}

TEST(SafetensorsMemory, ALieIsAnErrorAndCostsNothing) {
  const auto tensor = [](const std::string& shape, const std::string& offsets) {
    return R"({"t":{"dtype":"F32","shape":[)" + shape + R"(],"data_offsets":[)" + offsets + "]}}";
  };
  const auto file_of = [&](const std::string& shape, const std::string& offsets) {
    const std::string header = tensor(shape, offsets);
    return safetensors_of(header, header.size());
  };
  const std::string honest = tensor("16", "0,64");
  ASSERT_TRUE(Safetensors::parse(safetensors_of(honest, honest.size()), "x").ok());
  const std::pair<const char*, Bytes> kLies[] = {
      {"header length", safetensors_of(honest, UINT64_MAX)},
      {"header length within the limit", safetensors_of(honest, 99'999'999)},
      {"header length, to wrap a sum", safetensors_of(honest, UINT64_MAX - 7)},
      {"dimension", file_of("4611686018427387904", "0,64")},
      {"dimensions, to wrap a product", file_of("4294967296,4294967296", "0,64")},
      {"offset past the end", file_of("16", "0,1099511627776")},
      {"offsets, to wrap a difference", file_of("16", "18446744073709551552,0")},
  };
  for (const auto& [what, file] : kLies) {
    std::string message;
    const int64_t peak = peak_bytes_of([&] {
      const Result<Safetensors> parsed = Safetensors::parse(file, "x");
      if (!parsed.ok()) message = parsed.error().message;
    });
    EXPECT_FALSE(message.empty()) << what;
    EXPECT_EQ(message.find("JSON"), std::string::npos) << what << ": " << message;
    EXPECT_LE(peak, kFewBytes) << what;
  }
}

TEST(SafetensorsMemory, AFileCostsAFewTimesItsHeader) {
  SafetensorsWriter writer;
  for (int i = 0; i < 3000; ++i) {
    writer.add_tensor("t" + std::to_string(i), DType::kF16, {1}, Bytes(2));
  }
  const Bytes file = writer.encode();
  EXPECT_LE(peak_bytes_of([&] { ASSERT_TRUE(Safetensors::parse(file, "x").ok()); }),
            10 * static_cast<int64_t>(file.size()));
}

}  // namespace
}  // namespace forerun
