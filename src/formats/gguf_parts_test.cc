#include "formats/gguf_parts.h"

#include <gtest/gtest.h>

#include "formats/gguf_writer.h"
#include "formats/temporary_folder.h"

namespace forerun {
namespace {

struct PartKeys {
  uint32_t index;
  uint32_t count = 3;
  int32_t num_tensors = 4;
};

std::vector<uint8_t> make_part(PartKeys keys, std::initializer_list<const char*> tensors) {
  GgufWriter writer;
  if (keys.index == 0) writer.add_string("general.architecture", "llama");
  writer.add_u32("split.no", keys.index);
  writer.add_u32("split.count", keys.count);
  writer.add_i32("split.tensors.count", keys.num_tensors);
  for (const char* name : tensors) {
    writer.add_f32_tensor(name, {1}, std::vector<float>{static_cast<float>(name[0])});
  }
  return writer.encode();
}

constexpr const char* kNames[] = {"m-00001-of-00003.gguf", "m-00002-of-00003.gguf",
                                  "m-00003-of-00003.gguf"};

// The first part has keys only, as gguf-split --no-tensor-first-split makes it.
class GgufPartsTest : public testing::Test {
 protected:
  GgufPartsTest() {
    folder_.write(kNames[0], make_part({0}, {}));
    folder_.write(kNames[1], make_part({1}, {"d", "a"}));
    folder_.write(kNames[2], make_part({2}, {"c", "b"}));
  }

  std::string error_of(const char* name) const {
    const Result<Gguf> gguf = GgufParts::open(folder_.file(name));
    return gguf.ok() ? "" : gguf.error().message;
  }

  TemporaryFolder folder_;
};

TEST_F(GgufPartsTest, AnyPartNamesTheWhole) {
  for (const char* name : kNames) {
    const Result<Gguf> gguf = GgufParts::open(folder_.file(name));
    ASSERT_TRUE(gguf.ok()) << gguf.error().message;
    EXPECT_EQ(*gguf->get_string("general.architecture"), "llama");
    ASSERT_EQ(gguf->tensors().size(), 4u);
    uint64_t size_bytes = 0;
    for (const char* part : kNames) size_bytes += std::filesystem::file_size(folder_.file(part));
    EXPECT_EQ(gguf->size_bytes(), size_bytes);
    for (const char* tensor : {"a", "b", "c", "d"}) {
      EXPECT_EQ(*reinterpret_cast<const float*>(gguf->get_tensor(tensor)->data), tensor[0]);
      EXPECT_EQ(gguf->type_name(tensor), "F32");
    }
    EXPECT_EQ(gguf->type_name("e"), "");
  }
}

TEST_F(GgufPartsTest, AWholeFileIsItself) {
  GgufWriter plain;
  plain.add_string("general.architecture", "llama");
  folder_.write("plain.gguf", plain.encode());
  EXPECT_EQ(error_of("plain.gguf"), "");
  folder_.write("one.gguf", make_part({0, 1, 1}, {"a"}));
  EXPECT_EQ(error_of("one.gguf"), "");
  EXPECT_NE(error_of("none.gguf"), "");
}

TEST_F(GgufPartsTest, NamesThePartThatIsMissing) {
  folder_.remove(kNames[1]);
  EXPECT_EQ(error_of(kNames[2]), folder_.file(kNames[2]) +
                                     " is split, and part 2 of 3 is missing; "
                                     "put " +
                                     folder_.file(kNames[1]) + " beside the others");
}

TEST_F(GgufPartsTest, RefusesPartsThatDoNotBelongTogether) {
  const auto wrong = [&](const std::string& says) {
    return folder_.file(kNames[1]) + " says that it is " + says +
           " tensors, where part 2 of 3 with 4 is expected; fetch the parts again";
  };
  folder_.write(kNames[1], make_part({2}, {"d", "a"}));
  EXPECT_EQ(error_of(kNames[0]), wrong("part 3 of 3 with 4"));
  folder_.write(kNames[1], make_part({1, 4}, {"d", "a"}));
  EXPECT_EQ(error_of(kNames[0]), wrong("part 2 of 4 with 4"));
  folder_.write(kNames[1], make_part({1, 3, 9}, {"d", "a"}));
  EXPECT_EQ(error_of(kNames[0]), wrong("part 2 of 3 with 9"));
  folder_.write(kNames[1], GgufWriter().encode());
  EXPECT_EQ(error_of(kNames[0]),
            folder_.file(kNames[1]) +
                ": metadata key 'split.no' is missing; fetch or convert the file again");
  folder_.write(kNames[1], "cut");
  EXPECT_NE(error_of(kNames[0]).find("magic at offset 0"), std::string::npos);
}

TEST_F(GgufPartsTest, CountsAndNamesTheTensorsOfAll) {
  folder_.write(kNames[1], make_part({1}, {"d"}));
  EXPECT_EQ(error_of(kNames[0]), folder_.file(kNames[0]) +
                                     ": split.tensors.count is 4, but the 3 parts have 3 tensors; "
                                     "fetch them again");
  folder_.write(kNames[1], make_part({1}, {"d", "c"}));
  EXPECT_EQ(error_of(kNames[0]),
            folder_.file(kNames[0]) + ": tensor 'c' is there twice in its parts");
}

TEST_F(GgufPartsTest, RefusesOddKeysAndNames) {
  folder_.write("renamed.gguf", make_part({1}, {"d", "a"}));
  EXPECT_EQ(error_of("renamed.gguf"),
            folder_.file("renamed.gguf") +
                " is part 2 of 3 of a split file; give it a name that ends in "
                "-00002-of-00003.gguf, so that the other parts can be found beside it");
  for (const PartKeys keys : {PartKeys{3, 3}, PartKeys{0, 0}, PartKeys{0, 65536}}) {
    folder_.write("odd.gguf", make_part(keys, {}));
    EXPECT_EQ(error_of("odd.gguf"), folder_.file("odd.gguf") + ": split.no is " +
                                        std::to_string(keys.index) + " and split.count is " +
                                        std::to_string(keys.count) +
                                        "; counts from 1 to 65535 and numbers below them are "
                                        "expected");
  }
  GgufWriter text;
  text.add_u32("split.no", 0);
  text.add_string("split.count", "3");
  folder_.write("odd.gguf", text.encode());
  EXPECT_EQ(error_of("odd.gguf"),
            folder_.file("odd.gguf") +
                ": metadata key 'split.count' is string; an unsigned integer is expected");
  GgufWriter no_total;
  no_total.add_u32("split.no", 0);
  no_total.add_u32("split.count", 3);
  folder_.write("odd.gguf", no_total.encode());
  EXPECT_EQ(error_of("odd.gguf"), folder_.file("odd.gguf") +
                                      ": metadata key 'split.tensors.count' is missing; fetch or "
                                      "convert the file again");
}

}  // namespace
}  // namespace forerun
