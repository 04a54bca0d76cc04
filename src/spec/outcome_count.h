#pragma once

namespace forerun {

// How often something turned out right of late: older outcomes fade.
struct OutcomeCount {
  float seen = 0.0f;
  float accepted = 0.0f;

  // Of `most_seen` outcomes half are forgotten.
  void add(bool was_accepted, float most_seen) {
    seen += 1.0f;
    accepted += was_accepted ? 1.0f : 0.0f;
    if (seen < most_seen) return;
    seen *= 0.5f;
    accepted *= 0.5f;
  }
  // With a prior worth `strength` outcomes.
  double rate(double prior, double strength) const {
    return (accepted + strength * prior) / (seen + strength);
  }
};

}  // namespace forerun
