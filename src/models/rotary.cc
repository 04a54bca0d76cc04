#include "models/rotary.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

namespace forerun {
namespace {

bool is_positive(double value) {
  return value > 0.0 && std::isfinite(value);
}

Status check(const RotaryParameters& p) {
  const auto not_positive = [](const char* name, double value) {
    return Error{std::string("the rotary embedding's ") + name + " is " + std::to_string(value) +
                 "; it must be positive and finite"};
  };
  if (!is_positive(p.theta)) return not_positive("base", p.theta);
  if (!is_positive(p.factor)) return not_positive("scaling factor", p.factor);
  if (p.attention && !is_positive(*p.attention)) {
    return not_positive("attention factor", *p.attention);
  }
  if (p.scaling == RotaryScaling::kLlama3 || p.scaling == RotaryScaling::kYarn) {
    if (!is_positive(p.original_context)) {
      return not_positive("original context", p.original_context);
    }
  }
  if (p.scaling == RotaryScaling::kLlama3 &&
      !(is_positive(p.low_frequency_factor) && std::isfinite(p.high_frequency_factor) &&
        p.high_frequency_factor > p.low_frequency_factor)) {
    return Error{
        "the rotary embedding's low and high frequency factors must be positive and ascending"};
  }
  if (p.scaling == RotaryScaling::kYarn) {
    if (p.theta <= 1.0) return Error{"the rotary embedding's base must be above 1 for yarn"};
    if (!is_positive(p.beta_fast)) return not_positive("beta_fast", p.beta_fast);
    if (!is_positive(p.beta_slow)) return not_positive("beta_slow", p.beta_slow);
  }
  if (p.scaling != RotaryScaling::kDivisors) return {};
  if (static_cast<int64_t>(p.divisors.size()) != p.rotated / 2) {
    return Error{"the rotary embedding has " + std::to_string(p.divisors.size()) +
                 " frequency factors; it needs " + std::to_string(p.rotated / 2)};
  }
  for (const float divisor : p.divisors) {
    if (!is_positive(divisor)) return not_positive("frequency factor", divisor);
  }
  return {};
}

double llama3(double frequency, const RotaryParameters& p) {
  const double turns = p.original_context * frequency / (2.0 * std::numbers::pi);
  const double kept =
      (turns - p.low_frequency_factor) / (p.high_frequency_factor - p.low_frequency_factor);
  return frequency * std::lerp(1.0 / p.factor, 1.0, std::clamp(kept, 0.0, 1.0));
}

// The pair that turns `turns` times in the original context, as a fraction.
double yarn_pair(double turns, const RotaryParameters& p) {
  return static_cast<double>(p.rotated) *
         std::log(p.original_context / (turns * 2.0 * std::numbers::pi)) /
         (2.0 * std::log(p.theta));
}

double yarn(int64_t pair, double frequency, const RotaryParameters& p) {
  double low = yarn_pair(p.beta_fast, p);
  double high = yarn_pair(p.beta_slow, p);
  if (p.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, static_cast<double>(p.rotated - 1));
  if (low == high) high += 0.001;
  const double stretched = (static_cast<double>(pair) - low) / (high - low);
  return frequency * std::lerp(1.0, 1.0 / p.factor, std::clamp(stretched, 0.0, 1.0));
}

double scaled(int64_t pair, double frequency, const RotaryParameters& p) {
  switch (p.scaling) {
    case RotaryScaling::kNone:
      return frequency;
    case RotaryScaling::kLinear:
      return frequency / p.factor;
    case RotaryScaling::kLlama3:
      return llama3(frequency, p);
    case RotaryScaling::kYarn:
      return yarn(pair, frequency, p);
    case RotaryScaling::kDivisors:
      return frequency / p.divisors[pair] / p.factor;
  }
  return frequency;
}

}  // namespace

Result<RotaryEmbedding> make_rotary(const RotaryParameters& p) {
  if (const Status valid = check(p); !valid.ok()) return valid.error();
  RotaryEmbedding rotary;
  for (int64_t i = 0; i < p.rotated / 2; ++i) {
    const double exponent = -2.0 * static_cast<double>(i) / static_cast<double>(p.rotated);
    const double frequency = std::pow(p.theta, exponent);
    rotary.inverse_frequencies.push_back(static_cast<float>(scaled(i, frequency, p)));
  }
  if (p.attention) {
    rotary.attention_factor = static_cast<float>(*p.attention);
  } else if (p.scaling == RotaryScaling::kYarn && p.factor > 1.0) {
    rotary.attention_factor = static_cast<float>(1.0 + 0.1 * std::log(p.factor));
  }
  return rotary;
}

}  // namespace forerun
