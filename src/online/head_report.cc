#include "online/head_report.h"

#include <map>
#include <utility>
#include <vector>

#include "base/hex.h"

namespace forerun {
namespace {

// So far back verdicts are looked for: heads are kept for less.
constexpr size_t kMostEvents = 10'000;

// What events tell of a head.
struct Judgement {
  Json verdict;
  Json watch;
};

// Of an event that somebody may have edited.
Json field(const Json& event, const char* name) {
  const auto found = event.find(name);
  return found == event.end() ? Json() : *found;
}

int64_t version_of(const Json& event) {
  const Json version = field(event, "version");
  return version.is_number_integer() ? version.get<int64_t>() : 0;
}

// A head is published upon a verdict, which knows no version yet.
Result<std::map<int64_t, Judgement>> read_judgements(const HeadStore& store) {
  Result<std::vector<Json>> events = store.read_events(kMostEvents);
  if (!events.ok()) return events.error();
  std::map<int64_t, Judgement> judgements;
  Json passed;
  for (Json& event : *events) {
    const Json kind = field(event, "kind");
    // What was drafting when traffic changed is no new head.
    if (kind == "watch" && field(event, "why") != "drift") {
      judgements[version_of(event)].watch = field(event, "verdict");
    }
    if (kind == "published") judgements[version_of(event)].verdict = std::exchange(passed, Json());
    if (kind == "verdict" && field(event, "passed") == true) passed = std::move(event);
  }
  return judgements;
}

Json to_json(const HeadEntry& entry, const std::map<int64_t, Judgement>& judgements) {
  const auto found = judgements.find(entry.version);
  const Judgement judgement = found == judgements.end() ? Judgement() : found->second;
  return {{"version", entry.version},
          {"parent", entry.parent},
          {"vocabulary", entry.vocabulary},
          {"created", entry.created_s},
          {"trained_tokens", entry.trained_tokens},
          {"first_conversation", entry.first_conversation},
          {"last_conversation", entry.last_conversation},
          {"weights", hex(entry.weights)},
          {"metrics", entry.metrics},
          {"verdict", judgement.verdict},
          {"watch", judgement.watch}};
}

}  // namespace

Result<Json> report_head(const HeadStore& store, int64_t version) {
  const Result<HeadEntry> entry = store.entry(version);
  if (!entry.ok()) return entry.error();
  const auto judgements = read_judgements(store);
  if (!judgements.ok()) return judgements.error();
  return to_json(*entry, *judgements);
}

Result<Json> report_heads(const HeadStore& store) {
  const Result<std::vector<HeadEntry>> entries = store.list();
  if (!entries.ok()) return entries.error();
  const Result<int64_t> current = store.current();
  if (!current.ok()) return current.error();
  const auto judgements = read_judgements(store);
  if (!judgements.ok()) return judgements.error();
  Json heads = Json::array();
  for (const HeadEntry& entry : *entries) heads.push_back(to_json(entry, *judgements));
  return Json{{"current", *current}, {"heads", std::move(heads)}};
}

}  // namespace forerun
