#include "online/trace_capture.h"

#include <algorithm>
#include <cstring>

#include "base/clock.h"
#include "base/philox.h"
#include "online/trace_record.h"

namespace forerun {
namespace {

constexpr int64_t kEndsBetweenLooks = 32;
constexpr double kLeastRate = 1.0 / 1024;
// The rate comes back when what it took would be allowed four times over.
constexpr double kRoom = 0.25;
constexpr uint32_t kCaptureDomain = 0x54504143;  // "CAPT" read as bytes

// As a share of 1, evenly, whatever conversations are called by. Other numbers than those that
// choose who is held out.
double draw(uint64_t conversation) {
  const auto bits = philox({kCaptureDomain, 0, 0, 0}, {static_cast<uint32_t>(conversation),
                                                       static_cast<uint32_t>(conversation >> 32)});
  return static_cast<double>(bits[0]) * 0x1p-32;
}

TraceHeader header_of(const SequenceEnd& end) {
  const SamplingParams& sampling = end.request.sampling;
  TraceHeader header;
  header.conversation = *end.request.conversation;
  header.seed = end.seed;
  header.num_tokens = std::ssize(end.tokens);
  header.prompt_tokens = std::ssize(end.request.prompt);
  header.head = static_cast<uint64_t>(end.head);
  header.num_marks = static_cast<uint32_t>(std::min(end.first_drafts.size(), end.tokens.size()));
  header.is_constrained =
      sampling.has_penalties() || !sampling.logit_bias.empty() || end.request.grammar ? 1 : 0;
  header.choice = end.choice;
  header.temperature = sampling.temperature;
  header.top_k = sampling.top_k;
  header.top_p = sampling.top_p;
  header.min_p = sampling.min_p;
  return header;
}

// Of the rows that were verified in vain, those that hang from positions which are recorded.
Range recorded_branches(const SequenceEnd& end, const TraceHeader& header) {
  if (end.rejected == nullptr) return {};
  Range range = {0, end.rejected->size()};
  const auto position = [&](int64_t i) { return end.rejected->row(i).position; };
  while (range.begin < range.end && position(range.begin) < header.first_state) ++range.begin;
  while (range.begin < range.end && position(range.end - 1) >= end.num_states) --range.end;
  return range;
}

void write_branches(const RejectedRows& rejected, Range range, int64_t d_model,
                    TraceBranchRow* rows, uint16_t* finals) {
  for (int64_t i = range.begin; i < range.end; ++i) {
    const RejectedRow& from = rejected.row(i);
    const auto index = static_cast<int32_t>(i - range.begin);
    TraceBranchRow& row = rows[index];
    row.position = static_cast<int32_t>(from.position);
    row.parent = from.parent_distance == 0 ? -1 : index - from.parent_distance;
    row.depth = from.depth;
    row.token = from.token;
    std::memcpy(finals + index * d_model, rejected.final_state(i),
                static_cast<size_t>(d_model) * sizeof(uint16_t));
  }
}

}  // namespace

TraceCapture::TraceCapture(int64_t d_model, uint64_t weights, TraceRing& ring,
                           const Options& options)
    : d_model_(d_model), weights_(weights), ring_(ring), options_(options) {
  stats_.rate = options.rate;
}

bool TraceCapture::is_chosen(uint64_t conversation) const {
  return draw(conversation) < stats_.rate;
}

void TraceCapture::record(const SequenceEnd& end) {
  const bool has_output = std::ssize(end.tokens) > std::ssize(end.request.prompt);
  if (!has_output || end.num_states == 0 || end.reason == FinishReason::kError) return;
  if (!end.request.conversation) {
    ++stats_.refused;
    return;
  }
  const double begin = now_seconds();
  if (is_chosen(*end.request.conversation)) {
    write(end);
  } else {
    ++stats_.left_out;
  }
  stats_.seconds += now_seconds() - begin;
  if (++ends_since_ == kEndsBetweenLooks) adapt_rate(end.step_seconds);
}

void TraceCapture::write(const SequenceEnd& end) {
  TraceHeader header = header_of(end);
  header.weights = weights_;
  header.d_model = d_model_;
  header.num_states = std::min(end.num_states, options_.max_positions);
  header.first_state = end.num_states - header.num_states;
  const Range branches = recorded_branches(end, header);
  header.num_branch_rows = static_cast<uint32_t>(branches.end - branches.begin);
  const TraceLayout layout = trace_layout(header.num_tokens, header.num_states, d_model_,
                                          header.num_marks, header.num_branch_rows);
  header.bytes = static_cast<uint64_t>(layout.end);
  const auto room = ring_.reserve(layout.end);
  if (!room) {
    ++stats_.dropped;
    return;
  }
  uint8_t* out = room->data();
  std::memcpy(out, &header, sizeof(header));
  std::memcpy(out + layout.tokens, end.tokens.data(), end.tokens.size_bytes());
  if (header.num_marks > 0) {
    std::memcpy(out + layout.first_drafts, end.first_drafts.data(), header.num_marks);
  }
  const int64_t row = d_model_ * static_cast<int64_t>(sizeof(uint16_t));
  for (int64_t i = 0; i < header.num_states; ++i) {
    const int64_t position = header.first_state + i;
    std::memcpy(out + layout.states + i * 3 * row, end.states.at(position),
                static_cast<size_t>(3 * row));
    std::memcpy(out + layout.finals + i * row, end.finals.at(position), static_cast<size_t>(row));
  }
  if (header.num_branch_rows > 0) {
    write_branches(*end.rejected, branches, d_model_,
                   reinterpret_cast<TraceBranchRow*>(out + layout.branches),
                   reinterpret_cast<uint16_t*>(out + layout.branch_finals));
  }
  ring_.publish();
  ++stats_.recorded;
  stats_.positions += header.num_states;
}

void TraceCapture::adapt_rate(double step_seconds) {
  const double allowed = options_.most_share * (step_seconds - step_seconds_then_);
  const double taken = stats_.seconds - seconds_then_;
  if (taken > allowed) {
    stats_.rate = std::max(kLeastRate, stats_.rate / 2);
  } else if (taken < kRoom * allowed) {
    stats_.rate = std::min(options_.rate, stats_.rate * 2);
  }
  seconds_then_ = stats_.seconds;
  step_seconds_then_ = step_seconds;
  ends_since_ = 0;
}

}  // namespace forerun
