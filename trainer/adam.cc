#include "adam.h"

#include <algorithm>
#include <cmath>

namespace forerun {
namespace {

constexpr double kFirstDecay = 0.9;
constexpr double kSecondDecay = 0.95;  // as SafeAILab's EAGLE-3 trainer
constexpr double kEpsilon = 1e-8;
// Elements of which an update's operands, each passed over several times, fit into a cache.
constexpr int64_t kPiece = 1 << 15;

}  // namespace

Adam::Adam(std::vector<at::Tensor> parameters, const AdamOptions& options)
    : parameters_(std::move(parameters)), options_(options) {
  for (const at::Tensor& parameter : parameters_) {
    first_moments.push_back(at::zeros_like(parameter));
    second_moments.push_back(at::zeros_like(parameter));
    averages.push_back(parameter.detach().clone());
  }
}

bool Adam::step() {
  const c10::NoGradGuard no_grad;
  const double norm = gradient_norm();
  const bool is_finite = std::isfinite(norm);
  if (is_finite) {
    ++num_steps;
    const double warm = std::min(
        1.0, static_cast<double>(num_steps) / static_cast<double>(options_.warmup_steps + 1));
    const double scale = std::min(1.0, options_.largest_norm / norm);
    for (size_t i = 0; i < parameters_.size(); ++i) {
      update(i, scale, warm * options_.learning_rate);
    }
  }
  clear_gradients();
  return is_finite;
}

void Adam::clear_gradients() {
  for (at::Tensor& parameter : parameters_) parameter.mutable_grad() = at::Tensor();
}

double Adam::gradient_norm() const {
  double sum = 0.0;
  for (const at::Tensor& parameter : parameters_) {
    if (!parameter.grad().defined()) continue;
    const double norm = parameter.grad().norm().item<double>();
    sum += norm * norm;
  }
  return std::sqrt(sum);
}

void Adam::update(size_t i, double scale, double rate) {
  if (!parameters_[i].grad().defined()) return;
  const auto pieces = [](const at::Tensor& tensor) { return tensor.view(-1).split(kPiece); };
  const std::vector<at::Tensor> parameter = pieces(parameters_[i]);
  const std::vector<at::Tensor> gradients = pieces(parameters_[i].grad().contiguous());
  const std::vector<at::Tensor> first = pieces(first_moments[i]);
  const std::vector<at::Tensor> second = pieces(second_moments[i]);
  const std::vector<at::Tensor> average = pieces(averages[i]);
  const auto count = static_cast<double>(num_steps);
  const double first_share = 1 - std::pow(kFirstDecay, count);
  const double second_share = 1 - std::pow(kSecondDecay, count);
  // Polynomial-decay averaging (Shamir and Zhang 2013) with an end.
  const double newest = std::max(1.0 / static_cast<double>(options_.averaged_steps),
                                 std::min(1.0, 4.0 / (count + 3.0)));
  for (size_t piece = 0; piece < parameter.size(); ++piece) {
    const at::Tensor gradient = gradients[piece] * scale;
    first[piece].mul_(kFirstDecay).add_(gradient, 1 - kFirstDecay);
    second[piece].mul_(kSecondDecay).addcmul_(gradient, gradient, 1 - kSecondDecay);
    const at::Tensor root = (second[piece] / second_share).sqrt_().add_(kEpsilon);
    parameter[piece].addcdiv_(first[piece], root, -rate / first_share);
    average[piece].lerp_(parameter[piece], newest);
  }
}

}  // namespace forerun
