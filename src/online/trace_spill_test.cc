#include "online/trace_spill.h"

#include <gtest/gtest.h>

#include <cstring>

#include "formats/temporary_folder.h"
#include "online/trace_record.h"

namespace forerun {
namespace {

// A record of one token, `token`, without states.
void publish(TraceRing& ring, int32_t token) {
  const TraceLayout layout = trace_layout(1, 0, 4);
  TraceHeader header;
  header.bytes = static_cast<uint64_t>(layout.end);
  header.num_tokens = 1;
  header.d_model = 4;
  const auto room = ring.reserve(layout.end);
  ASSERT_TRUE(room.has_value());
  std::memset(room->data(), 0, room->size());
  std::memcpy(room->data(), &header, sizeof(header));
  std::memcpy(room->data() + layout.tokens, &token, sizeof(token));
  ring.publish();
}

TEST(TraceSpill, WritesAllThatCame) {
  const TemporaryFolder folder;
  Result<TraceRing> ring = TraceRing::create(1 << 16);
  ASSERT_TRUE(ring.ok());
  Result<TraceFileWriter> writer = TraceFileWriter::open(folder.path(), 1 << 20);
  ASSERT_TRUE(writer.ok()) << writer.error().message;
  {
    TraceSpill spill(*ring, *std::move(writer));
    for (int32_t token = 0; token < 50; ++token) publish(*ring, token);
  }
  EXPECT_TRUE(ring->front().empty());
  Result<TraceFileReader> reader = TraceFileReader::open(folder.path());
  ASSERT_TRUE(reader.ok()) << reader.error().message;
  for (int32_t token = 0; token < 50; ++token) {
    const auto words = reader->next();
    ASSERT_TRUE(words.has_value()) << token;
    EXPECT_EQ(parse_trace(trace_bytes(*words))->tokens[0], token);
  }
  EXPECT_FALSE(reader->next().has_value());
}

// What cannot be written is counted, and the ring empties all the same.
TEST(TraceSpill, GoesOnAfterWhatCannotBeWritten) {
  const TemporaryFolder folder;
  Result<TraceRing> ring = TraceRing::create(1 << 16);
  ASSERT_TRUE(ring.ok());
  Result<TraceFileWriter> writer = TraceFileWriter::open(folder.path(), 1 << 20);
  ASSERT_TRUE(writer.ok());
  TraceSpill spill(*ring, *std::move(writer));
  const auto room = ring->reserve(64);
  std::memset(room->data(), 7, room->size());
  ring->publish();
  publish(*ring, 3);
  while (spill.written() + spill.failed() < 2) std::this_thread::yield();
  EXPECT_EQ(spill.failed(), 1);
  EXPECT_EQ(spill.written(), 1);
}

}  // namespace
}  // namespace forerun
