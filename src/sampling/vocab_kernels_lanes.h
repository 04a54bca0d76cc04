#pragma once

// The passes of vocab_kernels.h in the operations of a Lanes class, for vocab_kernels_<isa>.cc.
// Nothing here calls an inline function of another header that is not a Lanes member: the linker
// would be free to keep the copy compiled for the widest ISA.

#include "base/philox.h"
#include "sampling/elementary.h"
#include "sampling/vocab_kernels.h"

namespace forerun {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNegativeInfinity = -kInfinity;
constexpr int kRowsPerBlock = kVocabBlock / kCellsPerBlock;
constexpr int kWordsPerCall = 4;  // tokens one Philox call serves, 16 ids apart (noise.h)

template <class L>
struct VocabPasses {
  using Float = typename L::Float;
  using Int = typename L::Int;
  using Mask = typename L::Mask;
  static constexpr int kWidth = L::kWidth;
  static constexpr int kParts = kCellsPerBlock / kWidth;  // vectors in a row of 16 tokens

  static bool any(Mask mask) { return L::lane_bits(mask) != 0; }

  static int lowest_bit(uint32_t bits) { return __builtin_ctz(bits); }

  // The block's 256 logits: in place, or the vocabulary's last ones filled up with -infinity.
  static const float* block_of(const float* logits, int begin, int end, float* padded) {
    if (end - begin >= kVocabBlock) return logits + begin;
    for (int i = 0; i < kVocabBlock; ++i) {
      padded[i] = begin + i < end ? logits[begin + i] : kNegativeInfinity;
    }
    return padded;
  }

  static bool block_reaches(const ScoreView& view, int begin, float lowest) {
    if (view.cell_max == nullptr) return true;
    const float* cells = view.cell_max + begin / kVocabBlock * kCellsPerBlock;
    Mask reached = L::none();
    for (int lane = 0; lane < kCellsPerBlock; lane += kWidth) {
      const Float score = L::mul(L::load(cells + lane), L::set(view.scale));
      reached = L::either(reached, L::greater_equal(score, L::set(lowest)));
    }
    return any(reached);
  }

  // Calls visit(scores, id of lane 0) for every vector of every block that reaches `lowest`, in
  // ascending order of ids.
  template <typename Visit>
  static void for_each_vector(const ScoreView& view, float lowest, Visit visit) {
    const Float scale = L::set(view.scale);
    for (int begin = 0; begin < view.num_tokens; begin += kVocabBlock) {
      if (!block_reaches(view, begin, lowest)) continue;
      float padded[kVocabBlock];
      const float* block = block_of(view.logits, begin, view.num_tokens, padded);
      for (int i = 0; i < kVocabBlock; i += kWidth) {
        visit(L::mul(L::load(block + i), scale), begin + i);
      }
    }
  }

  // --- scan ---------------------------------------------------------------------------------

  // Per lane the highest logit so far and the block it first stood in: cheaper than to carry an
  // index along with every logit.
  struct LaneMax {
    Float logit[kParts];
    Int block[kParts];
    Mask unordered;
    Float highest_raw;
  };

  static Float column_max(const float* block, int lane, LaneMax& lanes) {
    Float max = L::load(block + lane);
    Mask unordered = L::none();
    for (int row = 0; row < kRowsPerBlock; row += 2) {
      const Float a = L::load(block + row * kCellsPerBlock + lane);
      const Float b = L::load(block + (row + 1) * kCellsPerBlock + lane);
      unordered = L::either(unordered, L::unordered(a, b));
      max = L::max(max, L::max(a, b));
    }
    lanes.unordered = L::either(lanes.unordered, unordered);
    return max;
  }

  static void mask_block(const float* block, const uint32_t* allowed, int begin, int end,
                         float* masked, LaneMax& lanes) {
    const Float minus_infinity = L::set(kNegativeInfinity);
    for (int i = 0; i < kVocabBlock && begin + i < end; i += kWidth) {
      const Float logit = L::load(block + i);
      lanes.unordered = L::either(lanes.unordered, L::unordered(logit, logit));
      lanes.highest_raw = L::max(lanes.highest_raw, logit);
      const int id = begin + i;
      const Mask keep = L::mask_of(allowed[id / 32] >> (id % 32));
      const Float kept = L::select(keep, logit, minus_infinity);
      if (id + kWidth <= end) {
        L::store(masked + id, kept);
        continue;
      }
      float last[kWidth];
      L::store(last, kept);
      for (int lane = 0; id + lane < end; ++lane) masked[id + lane] = last[lane];
    }
  }

  static ScanResult scan(const float* logits, const uint32_t* allowed, float* masked, int begin,
                         int end, float* cell_max) {
    LaneMax lanes;
    for (int part = 0; part < kParts; ++part) {
      lanes.logit[part] = L::set(kNegativeInfinity);
      lanes.block[part] = L::set_int(0);
    }
    lanes.unordered = L::none();
    lanes.highest_raw = L::set(kNegativeInfinity);
    const float* source = allowed == nullptr ? logits : masked;
    for (int base = begin; base < end; base += kVocabBlock) {
      float padded[kVocabBlock];
      if (allowed != nullptr) {
        mask_block(block_of(logits, base, end, padded), allowed, base, end, masked, lanes);
      }
      const float* block = block_of(source, base, end, padded);
      float* cells = cell_max + base / kVocabBlock * kCellsPerBlock;
      for (int part = 0; part < kParts; ++part) {
        const Float max = column_max(block, part * kWidth, lanes);
        L::store(cells + part * kWidth, max);
        const Mask higher = L::greater(max, lanes.logit[part]);
        lanes.logit[part] = L::select(higher, max, lanes.logit[part]);
        lanes.block[part] =
            L::select_int(higher, L::set_int(static_cast<uint32_t>(base)), lanes.block[part]);
      }
    }
    return scan_result(lanes, source, end);
  }

  static ScanResult scan_result(const LaneMax& lanes, const float* logits, int end) {
    float max[kCellsPerBlock];
    uint32_t block[kCellsPerBlock];
    for (int part = 0; part < kParts; ++part) {
      L::store(max + part * kWidth, lanes.logit[part]);
      L::store_int(block + part * kWidth, lanes.block[part]);
    }
    ScanResult result = {kNegativeInfinity, -1, true};
    for (float lane_max : max) {
      if (lane_max > result.max_logit) result.max_logit = lane_max;
    }
    result.finite = !any(lanes.unordered) && result.max_logit != kInfinity &&
                    !any(L::greater_equal(lanes.highest_raw, L::set(kInfinity)));
    if (!result.finite || result.max_logit == kNegativeInfinity) return result;
    for (int lane = 0; lane < kCellsPerBlock; ++lane) {
      if (max[lane] != result.max_logit) continue;
      int id = static_cast<int>(block[lane]) + lane;
      while (id < end && logits[id] != result.max_logit) id += kCellsPerBlock;
      if (result.token_id < 0 || id < result.token_id) result.token_id = id;
    }
    return result;
  }

  // --- noise --------------------------------------------------------------------------------

  struct Words {
    Int word[kWordsPerCall];
  };

  // Philox4x32-10 on counters (call_id, position, choice_id, domain).
  static Words philox(Int call_id, const NoiseKey& key) {
    Int c0 = call_id;
    Int c1 = L::set_int(key.position);
    Int c2 = L::set_int(key.choice_id);
    Int c3 = L::set_int(kSamplingNoiseDomain);
    auto k0 = static_cast<uint32_t>(key.seed);
    auto k1 = static_cast<uint32_t>(key.seed >> 32);
    for (int round = 0; round < kPhiloxRounds; ++round) {
      const typename L::Wide p0 = L::mul_wide(c0, kPhiloxMultiplier0);
      const typename L::Wide p1 = L::mul_wide(c2, kPhiloxMultiplier1);
      c0 = L::exclusive_or(L::exclusive_or(p1.high, c1), L::set_int(k0));
      c1 = p1.low;
      c2 = L::exclusive_or(L::exclusive_or(p0.high, c3), L::set_int(k1));
      c3 = p0.low;
      k0 += kPhiloxWeyl0;
      k1 += kPhiloxWeyl1;
    }
    return {{c0, c1, c2, c3}};
  }

  // The bar a token has to reach to beat `best`, as cheap tests that never reject one that does:
  // the noise itself, two logarithms, is computed for the few that pass.
  //
  // A score s wins only if s + G >= best, and G <= -log(u), so u <= exp(s - best) = 2^y. With y in
  // the exponent and mantissa bits of a float, that float is 2^floor(y) (1 + frac(y)) >= 2^y, and
  // the 30 highest bits of u are compared as integers.
  struct Bar {
    Float lowest_score;  // below it no noise is enough, or the cut does not keep the token
    float lowest;
    Float slope;
    Float offset;

    Bar(float best, float cut_score) {
      constexpr float kMostNoise = 22.88f;
      constexpr float kExponentStep = 0x1p23f;
      constexpr float kLog2E = 1.44269504f;
      constexpr float kBias = 127.0f + 30.0f;
      // More than all roundings here and in score + noise together.
      const float slack = 0x1p-10f + (best < 0 ? -best : best) * 0x1p-20f;
      const float bound = best - kMostNoise - slack;
      lowest = bound > cut_score ? bound : cut_score;
      lowest_score = L::set(lowest);
      slope = L::set(kLog2E * kExponentStep);
      offset = L::set((kBias - (best - slack) * kLog2E) * kExponentStep);
    }

    // 2^30 u must not be above this.
    Int highest_u(Float score) const {
      const Float lowest_bits = L::set((127.0f - 10.0f) * 0x1p23f);  // 2^-10: truncates to 0
      const Float highest_bits = L::set((127.0f + 30.0f) * 0x1p23f);
      Float bits = L::add(L::mul(score, slope), offset);
      bits = L::min(L::max(bits, lowest_bits), highest_bits);
      return L::truncate(L::from_bits(L::truncate(bits)));
    }
  };

  static bool better(const Candidate& a, const Candidate& b) {
    return a.value > b.value || (a.value == b.value && a.token_id < b.token_id);
  }

  // The exact values of the lanes in `bits`, against the best so far.
  static bool improve(Candidate& best, Float score, Int random_bits, uint32_t bits, int first_id,
                      const Cut& cut) {
    float scores[kWidth];
    float values[kWidth];
    L::store(scores, score);
    L::store(values, L::add(score, gumbel<L>(random_bits)));
    bool improved = false;
    for (; bits != 0; bits &= bits - 1) {
      const int lane = lowest_bit(bits);
      const Candidate candidate = {values[lane], first_id + lane};
      const bool kept = scores[lane] > cut.score ||
                        (scores[lane] == cut.score && candidate.token_id <= cut.last_id);
      if (!kept || !better(candidate, best)) continue;
      best = candidate;
      improved = true;
    }
    return improved;
  }

  // Tokens first_id + 16 w + lane for the 4 words w of `kWidth` calls.
  struct CallTokens {
    Float score[kWordsPerCall];
    int first_id;
  };

  static void improve_by_call(Candidate& best, Bar& bar, const CallTokens& tokens,
                              const NoiseKey& key, const Cut& cut) {
    const auto first_call = static_cast<uint32_t>(tokens.first_id / 64 * 16 + tokens.first_id % 16);
    const Words words = philox(L::add_int(L::set_int(first_call), L::count_up()), key);
    for (int w = 0; w < kWordsPerCall; ++w) {
      const Mask hopeful = L::both(L::less_equal_signed(L::template shift_right<2>(words.word[w]),
                                                        bar.highest_u(tokens.score[w])),
                                   L::greater_equal(tokens.score[w], bar.lowest_score));
      const uint32_t bits = L::lane_bits(hopeful);
      if (bits == 0) continue;
      if (improve(best, tokens.score[w], words.word[w], bits, tokens.first_id + 16 * w, cut)) {
        bar = Bar(best.value, cut.score);
      }
    }
  }

  static Candidate start_candidate(const ScoreView& view, const NoiseKey& key, int32_t start) {
    const auto call = static_cast<uint32_t>(start / 64 * 16 + start % 16);
    const Words words = philox(L::set_int(call), key);
    float values[kWidth];
    L::store(values, L::add(L::set(view.logits[start] * view.scale),
                            gumbel<L>(words.word[start / 16 % 4])));
    return {values[0], start};
  }

  static Candidate best_with_noise(const ScoreView& view, const NoiseKey& key, const Cut& cut,
                                   int begin, int end, int32_t start) {
    Candidate best = start_candidate(view, key, start);
    Bar bar(best.value, cut.score);
    const Float scale = L::set(view.scale);
    for (int base = begin; base < end; base += kVocabBlock) {
      if (!block_reaches(view, base, bar.lowest)) continue;
      float padded[kVocabBlock];
      const float* block = block_of(view.logits, base, end, padded);
      for (int call = 0; call < kVocabBlock; call += 64) {
        for (int lane = 0; lane < kCellsPerBlock; lane += kWidth) {
          CallTokens tokens;
          tokens.first_id = base + call + lane;
          Mask reached = L::none();
          for (int w = 0; w < kWordsPerCall; ++w) {
            tokens.score[w] = L::mul(L::load(block + call + 16 * w + lane), scale);
            reached = L::either(reached, L::greater_equal(tokens.score[w], bar.lowest_score));
          }
          if (any(reached)) improve_by_call(best, bar, tokens, key, cut);
        }
      }
    }
    return best;
  }

  // --- mass, gather, collect ----------------------------------------------------------------

  static uint64_t mass(const ScoreView& view, float max_score, float above) {
    // exp(-28.5) is under half of 2^-40.
    const float nothing = max_score - 28.5f;
    typename L::IntegerSum sum;
    const Float max = L::set(max_score);
    const Float zero = L::set(0.0f);
    for_each_vector(view, above > nothing ? above : nothing, [&](Float score, int) {
      sum.add(L::select(L::greater(score, L::set(above)), mass_of<L>(score, max), zero));
    });
    return sum.total();
  }

  static int gather(const ScoreView& view, float lowest, float* scores) {
    int count = 0;
    for_each_vector(view, lowest, [&](Float score, int) {
      const Mask keep = L::greater_equal(score, L::set(lowest));
      const uint32_t bits = L::lane_bits(keep);
      if (bits == 0) return;
      L::compress(scores + count, keep, score);
      count += __builtin_popcount(bits);
    });
    return count;
  }

  static int collect(const ScoreView& view, const Cut& cut, Candidate* tokens, int capacity) {
    int count = 0;
    for_each_vector(view, cut.score, [&](Float score, int first_id) {
      uint32_t bits = L::lane_bits(L::greater_equal(score, L::set(cut.score)));
      if (bits == 0) return;
      float scores[kWidth];
      L::store(scores, score);
      for (; bits != 0; bits &= bits - 1) {
        const int lane = lowest_bit(bits);
        const bool kept = scores[lane] > cut.score || first_id + lane <= cut.last_id;
        if (kept && scores[lane] != kNegativeInfinity && count < capacity) {
          tokens[count++] = {scores[lane], first_id + lane};
        }
      }
    });
    return count;
  }

  static int32_t find_tie(const ScoreView& view, float wanted, int64_t rank) {
    int32_t found = -1;
    const Float value = L::set(wanted);
    for_each_vector(view, wanted, [&](Float score, int first_id) {
      uint32_t bits =
          L::lane_bits(L::both(L::greater_equal(score, value), L::greater_equal(value, score)));
      for (; bits != 0; bits &= bits - 1) {
        if (rank-- == 0) found = first_id + lowest_bit(bits);
      }
    });
    return found;
  }

  // --- prefix -------------------------------------------------------------------------------
  //
  // A quick select by weight: cut the span of scores in the middle, keep the half in which the
  // prefix ends. Every step removes the highest or the lowest score at least. The result is a
  // property of the scores, whatever the pivots are.

  struct Span {
    float lowest;
    float highest;
  };

  static void fill_up(float* scores, int count) {
    for (int i = count; i % kWidth != 0; ++i) scores[i] = kNegativeInfinity;
  }

  static Span span_of(const float* scores, int count) {
    Float lowest = L::set(kInfinity);
    Float highest = L::set(kNegativeInfinity);
    const Float padding = L::set(kNegativeInfinity);
    for (int i = 0; i < count; i += kWidth) {
      const Float score = L::load(scores + i);
      highest = L::max(highest, score);
      lowest = L::select(L::greater(score, padding), L::min(lowest, score), lowest);
    }
    float low[kWidth];
    float high[kWidth];
    L::store(low, lowest);
    L::store(high, highest);
    Span span = {low[0], high[0]};
    for (int lane = 1; lane < kWidth; ++lane) {
      if (low[lane] < span.lowest) span.lowest = low[lane];
      if (high[lane] > span.highest) span.highest = high[lane];
    }
    return span;
  }

  // Keeps lowest <= score < end, in place: what is written never passes what is read.
  static int keep_between(float* scores, int count, float lowest, float end) {
    int kept = 0;
    for (int i = 0; i < count; i += kWidth) {
      const Float score = L::load(scores + i);
      const Mask keep =
          L::both(L::greater_equal(score, L::set(lowest)), L::greater(L::set(end), score));
      L::compress(scores + kept, keep, score);
      kept += __builtin_popcount(L::lane_bits(keep));
    }
    fill_up(scores, kept);
    return kept;
  }

  // weigh(scores, count, lowest) sums the weights of scores >= lowest.
  template <typename Weigh>
  static PrefixEnd prefix(float* scores, int count, uint64_t needed, Weigh weigh) {
    fill_up(scores, count);
    for (;;) {
      const Span span = span_of(scores, count);
      if (span.lowest == span.highest) {
        const uint64_t each = weigh(scores, count, span.lowest) / static_cast<uint64_t>(count);
        return {span.highest, static_cast<int64_t>((needed + each - 1) / each)};
      }
      float pivot = span.lowest * 0.5f + span.highest * 0.5f;
      if (pivot <= span.lowest) pivot = span.highest;
      const uint64_t upper = weigh(scores, count, pivot);
      if (upper >= needed) {
        count = keep_between(scores, count, pivot, kInfinity);
      } else {
        needed -= upper;
        count = keep_between(scores, count, span.lowest, pivot);
      }
    }
  }

  static PrefixEnd prefix_by_count(float* scores, int count, uint64_t needed) {
    return prefix(scores, count, needed, [](const float* list, int size, float lowest) {
      uint64_t sum = 0;
      for (int i = 0; i < size; i += kWidth) {
        const Mask counted = L::greater_equal(L::load(list + i), L::set(lowest));
        sum += static_cast<uint64_t>(__builtin_popcount(L::lane_bits(counted)));
      }
      return sum;
    });
  }

  static PrefixEnd prefix_by_mass(float* scores, int count, float max_score, uint64_t needed) {
    return prefix(scores, count, needed, [&](const float* list, int size, float lowest) {
      typename L::IntegerSum sum;
      for (int i = 0; i < size; i += kWidth) {
        const Float score = L::load(list + i);
        const Float mass = mass_of<L>(score, L::set(max_score));
        sum.add(L::select(L::greater_equal(score, L::set(lowest)), mass, L::set(0.0f)));
      }
      return sum.total();
    });
  }
};

template <class L>
constexpr VocabKernels make_vocab_kernels() {
  using Passes = VocabPasses<L>;
  return {Passes::scan,
          Passes::best_with_noise,
          Passes::mass,
          Passes::gather,
          Passes::collect,
          Passes::find_tie,
          Passes::prefix_by_count,
          Passes::prefix_by_mass};
}

}  // namespace forerun
