#include "online/trace_record.h"

#include <cstring>
#include <string>

namespace forerun {
namespace {

int64_t aligned(int64_t bytes) {
  return (bytes + 63) / 64 * 64;
}

Error broken(const std::string& what) {
  return Error{"trace record: " + what};
}

TraceLayout layout_of(const TraceHeader& header) {
  return trace_layout(header.num_tokens, header.num_states, header.d_model, header.num_marks,
                      header.num_branch_rows);
}

Status check_header(const TraceHeader& header, size_t bytes) {
  if (header.magic != TraceHeader::kMagic) return broken("it does not begin as one");
  if (header.version != 2 && header.version != 3) {
    return broken("version " + std::to_string(header.version) + "; this program reads 2 and 3");
  }
  if (header.bytes != bytes) return broken("its length is not the one it tells");
  if (header.d_model < 1 || header.d_model > kMostTraceWidth) {
    return broken("a state of " + std::to_string(header.d_model) + " values");
  }
  if (header.num_tokens < 1 || header.num_tokens > kMostTraceTokens) {
    return broken(std::to_string(header.num_tokens) + " tokens");
  }
  if (header.prompt_tokens < 0 || header.prompt_tokens > header.num_tokens) {
    return broken("a prompt longer than all of it");
  }
  const bool is_inside = header.first_state >= 0 && header.num_states >= 0 &&
                         header.num_states <= header.num_tokens &&
                         header.first_state <= header.num_tokens - header.num_states;
  if (!is_inside) return broken("states of positions that there are not");
  if (header.num_marks > header.num_tokens) return broken("more marks than tokens");
  if (header.num_branch_rows > (header.version == 2 ? 0 : kMostBranchRows)) {
    return broken(std::to_string(header.num_branch_rows) + " branch rows");
  }
  const TraceLayout layout = layout_of(header);
  if (static_cast<uint64_t>(layout.end) != header.bytes) {
    return broken("its length does not follow from its parts");
  }
  return {};
}

// Whether row `i` of a record's branches stands where one may.
bool fits(const TraceHeader& header, std::span<const TraceBranchRow> branches, size_t i) {
  const TraceBranchRow& row = branches[i];
  const bool has_states =
      row.position >= header.first_state && row.position < header.first_state + header.num_states;
  const bool has_depth = row.depth >= 1 && row.depth <= kMaxDraft;
  const bool ascends = i == 0 || branches[i - 1].position <= row.position;
  if (!has_states || !has_depth || !ascends) return false;
  // The draft begins behind a token of the sequence.
  if (row.parent == -1) return row.depth <= row.position + 1;
  if (row.parent < 0 || static_cast<size_t>(row.parent) >= i) return false;
  const TraceBranchRow& parent = branches[static_cast<size_t>(row.parent)];
  return parent.position == row.position && parent.depth == row.depth - 1;
}

Status check_branches(const TraceRecord& record) {
  for (size_t i = 0; i < record.branches.size(); ++i) {
    if (!fits(record.header, record.branches, i)) {
      return broken("branch row " + std::to_string(i) + " hangs from nothing");
    }
  }
  return {};
}

}  // namespace

TraceLayout trace_layout(int64_t num_tokens, int64_t num_states, int64_t d_model, int64_t num_marks,
                         int64_t num_branch_rows) {
  TraceLayout layout;
  layout.tokens = sizeof(TraceHeader);
  layout.first_drafts = layout.tokens + num_tokens * static_cast<int64_t>(sizeof(int32_t));
  layout.states = aligned(layout.first_drafts + num_marks);
  const int64_t row = d_model * static_cast<int64_t>(sizeof(uint16_t));
  layout.finals = aligned(layout.states + num_states * 3 * row);
  layout.branches = aligned(layout.finals + num_states * row);
  layout.branch_finals =
      aligned(layout.branches + num_branch_rows * static_cast<int64_t>(sizeof(TraceBranchRow)));
  layout.end = aligned(layout.branch_finals + num_branch_rows * row);
  return layout;
}

Result<TraceRecord> parse_trace(std::span<const uint8_t> bytes) {
  TraceRecord record;
  if (bytes.size() < sizeof(record.header)) return broken("too short for one");
  std::memcpy(&record.header, bytes.data(), sizeof(record.header));
  const TraceHeader& header = record.header;
  if (Status status = check_header(header, bytes.size()); !status.ok()) return status.error();
  const TraceLayout layout = layout_of(header);
  const auto states = static_cast<size_t>(header.num_states * header.d_model);
  record.tokens = {reinterpret_cast<const int32_t*>(bytes.data() + layout.tokens),
                   static_cast<size_t>(header.num_tokens)};
  record.first_drafts = {reinterpret_cast<const FirstDraft*>(bytes.data() + layout.first_drafts),
                         header.num_marks};
  record.states = {reinterpret_cast<const uint16_t*>(bytes.data() + layout.states), 3 * states};
  record.finals = {reinterpret_cast<const uint16_t*>(bytes.data() + layout.finals), states};
  record.branches = {reinterpret_cast<const TraceBranchRow*>(bytes.data() + layout.branches),
                     header.num_branch_rows};
  record.branch_finals = {reinterpret_cast<const uint16_t*>(bytes.data() + layout.branch_finals),
                          static_cast<size_t>(header.num_branch_rows * header.d_model)};
  if (Status status = check_branches(record); !status.ok()) return status.error();
  return record;
}

}  // namespace forerun
