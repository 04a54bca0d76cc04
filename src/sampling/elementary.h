#pragma once

#include <cstdint>

namespace forerun {

// Elementary functions in float, written in the operations of a Lanes class (lanes_generic.h): the
// same bits in every lane of every ISA. Polynomials are Chebyshev fits in 40 digits, made for these
// intervals and rounded to float.

// Coefficients from the highest power down.
template <class Lanes, int kCount>
typename Lanes::Float polynomial(const float (&coefficients)[kCount], typename Lanes::Float x) {
  typename Lanes::Float sum = Lanes::set(coefficients[0]);
  for (int i = 1; i < kCount; ++i)
    sum = Lanes::add(Lanes::mul(sum, x), Lanes::set(coefficients[i]));
  return sum;
}

// log(2^e (1 + f)) for f in [sqrt(1/2) - 1, sqrt(2) - 1]:
//   f - f^2 / 2 + f^3 P(f) + e log 2
// Relative error below 2e-7, near 1 too, where f is exact.
template <class Lanes>
typename Lanes::Float log_of_parts(typename Lanes::Float e, typename Lanes::Float f) {
  static constexpr float kP[] = {-0.07902743772f, 0.1262231985f, -0.1299818376f, 0.1421449592f,
                                 -0.1664128146f,  0.2000104509f, -0.2500030642f, 0.3333333073f};
  // log 2 in two parts: the first has 9 bits, so that its product with any exponent is exact.
  constexpr float kLog2High = 0.693359375f;
  constexpr float kLog2Low = -2.12194440e-4f;
  const auto square = Lanes::mul(f, f);
  auto tail = Lanes::mul(Lanes::mul(square, f), polynomial<Lanes>(kP, f));
  tail = Lanes::add(tail, Lanes::mul(e, Lanes::set(kLog2Low)));
  tail = Lanes::sub(tail, Lanes::mul(square, Lanes::set(0.5f)));
  return Lanes::add(Lanes::add(f, tail), Lanes::mul(e, Lanes::set(kLog2High)));
}

template <class Lanes>
struct LogParts {
  typename Lanes::Float e;
  typename Lanes::Float f;
};

// x = 2^e (1 + f) for a positive normal x.
template <class Lanes>
LogParts<Lanes> split_for_log(typename Lanes::Float x) {
  constexpr uint32_t kSqrtHalfBits = 0x3F3504F3;
  const auto bits = Lanes::bits(x);
  const auto e =
      Lanes::template shift_right_signed<23>(Lanes::sub_int(bits, Lanes::set_int(kSqrtHalfBits)));
  const auto mantissa = Lanes::from_bits(Lanes::sub_int(bits, Lanes::template shift_left<23>(e)));
  return {Lanes::to_float_signed(e), Lanes::sub(mantissa, Lanes::set(1.0f))};
}

// For a positive normal x.
template <class Lanes>
typename Lanes::Float log_of(typename Lanes::Float x) {
  const LogParts<Lanes> parts = split_for_log<Lanes>(x);
  return log_of_parts<Lanes>(parts.e, parts.f);
}

// exp(x) for x <= 0, relative error below 2e-7; exactly 0 below -60. The result is at most 1.
template <class Lanes>
typename Lanes::Float exp_nonpositive(typename Lanes::Float x) {
  static constexpr float kP[] = {0.001392692661f, 0.008363773874f, 0.04166655011f, 0.1666657338f,
                                 0.5f};
  constexpr float kLog2High = 0.693359375f;
  constexpr float kLog2Low = -2.12194440e-4f;
  const auto shift = Lanes::set(0x1.8p23f);  // from here on a float's last bit is worth 1
  const auto shifted = Lanes::add(Lanes::mul(x, Lanes::set(1.44269504f)), shift);
  const auto n = Lanes::sub(shifted, shift);
  auto r = Lanes::sub(x, Lanes::mul(n, Lanes::set(kLog2High)));
  r = Lanes::sub(r, Lanes::mul(n, Lanes::set(kLog2Low)));
  const auto square = Lanes::mul(r, r);
  const auto mantissa =
      Lanes::add(Lanes::add(Lanes::mul(square, polynomial<Lanes>(kP, r)), r), Lanes::set(1.0f));
  // shifted's low bits are n; the rest leaves with the shift.
  const auto scaled = Lanes::from_bits(
      Lanes::add_int(Lanes::bits(mantissa), Lanes::template shift_left<23>(Lanes::bits(shifted))));
  return Lanes::select(Lanes::greater_equal(x, Lanes::set(-60.0f)), scaled, Lanes::set(0.0f));
}

// The mass of a token (vocab_kernels.h), before it is rounded to an integer.
template <class Lanes>
typename Lanes::Float mass_of(typename Lanes::Float score, typename Lanes::Float max_score) {
  return Lanes::mul(exp_nonpositive<Lanes>(Lanes::sub(score, max_score)), Lanes::set(0x1p40f));
}

// The noise of noise.h from 32 random bits. 1 - u is taken from the bits' complement, which is
// exact where u is near 1; where u is small, log1p(-u) needs no 1 - u at all: f = -u and e = 0.
template <class Lanes>
typename Lanes::Float gumbel(typename Lanes::Int random_bits) {
  constexpr float kOneMinusSqrtHalf = 0.29289322f;
  const auto half = Lanes::set(0.5f);
  const auto scale = Lanes::set(0x1p-32f);
  const auto u = Lanes::mul(Lanes::add(Lanes::to_float(random_bits), half), scale);
  const auto complement = Lanes::exclusive_or(random_bits, Lanes::set_int(0xFFFFFFFF));
  const auto rest = Lanes::mul(Lanes::add(Lanes::to_float(complement), half), scale);
  const LogParts<Lanes> parts = split_for_log<Lanes>(rest);
  const auto small = Lanes::greater_equal(Lanes::set(kOneMinusSqrtHalf), u);
  const auto zero = Lanes::set(0.0f);
  const auto e = Lanes::select(small, zero, parts.e);
  const auto f = Lanes::select(small, Lanes::sub(zero, u), parts.f);
  const auto exponential = Lanes::sub(zero, log_of_parts<Lanes>(e, f));
  return Lanes::sub(zero, log_of<Lanes>(exponential));
}

}  // namespace forerun
