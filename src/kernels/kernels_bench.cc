// One core's speed of the products and of attention, for every variant the machine has:
//   matmul/<variant>/<type>/<rows>/<cache or memory>    fraction: of the measured int8 rate, of
//                                                       BF16 of the bf16 rate where there is one
//                                                       read: of the measured read rate, counting
//                                                       the bytes a file has
//   pack/<type>                                         of a matrix in the cache, by one core
//   attention/<variant>/<type>/<query rows>/<cache or memory>  bytes: of keys and values
#include <benchmark/benchmark.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "kernels/kernel_table.h"
#include "kernels/packed_matrix.h"
#include "kernels/peak.h"

namespace forerun {
namespace {

// Whole blocks of every type.
constexpr int64_t kInputs = 768;
constexpr int64_t kOutputs = 1536;
// Matrices one after the other, as a step reads layers: one stays in the cache, this many bytes
// come from memory.
constexpr int64_t kBytesInMemory = 160 << 20;

struct Ceilings {
  double gmacs;
  double read_gb_s;
};

struct MatmulOperands {
  MatmulOperands(DType dtype, int num_matrices, int64_t num_rows)
      : values(num_rows * kInputs, 1),
        scale(num_rows * kInputs / kBlockInputs, 0.01f),
        sum(scale.size(), kBlockInputs),
        scaled_sum(scale.size(), 0.32f),
        half_sum(2 * scale.size(), 16),
        dense(num_rows * kInputs, 0.01f),
        bf16(num_rows * kInputs, 0x3c24),
        out(num_rows * kOutputs) {
    for (int i = 0; i < num_matrices; ++i) weights.emplace_back(dtype, kOutputs, kInputs);
    const std::vector<uint8_t> source(kOutputs * row_bytes(dtype, kInputs), 0x11);
    for (PackedMatrix& weight : weights) {
      weight.pack({dtype, {kOutputs, kInputs}, source.data()}, {0, weight.panels()});
    }
    args.quantized = {values.data(),     scale.data(),    sum.data(),
                      scaled_sum.data(), half_sum.data(), kInputs};
    args.dense = dense.data();
    args.dense_stride = kInputs;
    args.bf16 = bf16.data();
    args.bf16_stride = kInputs;
    args.num_rows = num_rows;
    args.panels = {0, kOutputs / kPanelRows};
    args.out = out.data();
    args.out_stride = kOutputs;
  }

  std::vector<PackedMatrix> weights;
  std::vector<int8_t> values;
  std::vector<float> scale;
  std::vector<int32_t> sum;
  std::vector<float> scaled_sum;
  std::vector<int16_t> half_sum;
  std::vector<float> dense;
  std::vector<uint16_t> bf16;
  std::vector<float> out;
  MatmulArgs args;
};

void bench_matmul(benchmark::State& state, Isa isa, DType dtype, int64_t num_rows, bool in_memory,
                  const Ceilings& ceilings) {
  const int64_t matrix_bytes = kOutputs * row_bytes(dtype, kInputs);
  const auto num_matrices = static_cast<int>(in_memory ? kBytesInMemory / matrix_bytes : 1);
  MatmulOperands operands(dtype, num_matrices, num_rows);
  const MatmulFunction matmul = kernel_table(isa).matmul;
  size_t next = 0;
  for (auto _ : state) {
    operands.args.weight = &operands.weights[next];
    matmul(operands.args);
    benchmark::ClobberMemory();
    next = (next + 1) % operands.weights.size();
  }
  const double macs = static_cast<double>(state.iterations() * num_rows * kInputs * kOutputs);
  state.counters["fraction"] =
      benchmark::Counter(macs / 1e9 / ceilings.gmacs, benchmark::Counter::kIsRate);
  const auto bytes = static_cast<double>(state.iterations() * matrix_bytes);
  state.counters["read"] =
      benchmark::Counter(bytes / 1e9 / ceilings.read_gb_s, benchmark::Counter::kIsRate);
  state.SetBytesProcessed(state.iterations() * matrix_bytes);
}

void bench_pack(benchmark::State& state, DType dtype) {
  const std::vector<uint8_t> source(kOutputs * row_bytes(dtype, kInputs), 0x11);
  PackedMatrix matrix(dtype, kOutputs, kInputs);
  for (auto _ : state) {
    matrix.pack({dtype, {kOutputs, kInputs}, source.data()}, {0, matrix.panels()});
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(source.size()));
}

void bench_attention(benchmark::State& state, Isa isa, KvType type, int num_rows,
                     int num_partitions) {
  constexpr int64_t kHeadDim = 64;
  const AttentionOps& ops = kernel_table(isa).attention(type);
  const int64_t head_bytes = page_head_bytes(type, kHeadDim);
  Buffer pages(2 * head_bytes * kPagesPerPartition * num_partitions);
  std::memset(pages.data(), 1, pages.size_bytes());  // memory never written to is one page of zeros
  Buffer scratch(attention_scratch_bytes(kHeadDim));
  std::vector<float> query(kHeadDim, 0.01f);
  std::vector<float> out(kMaxQueryRows * kHeadDim);
  AttentionPass pass;
  pass.num_rows = num_rows;
  pass.head_dim = kHeadDim;
  pass.scratch = scratch.data();
  for (int r = 0; r < num_rows; ++r) {
    pass.query[r] = query.data();
    pass.first[r] = 0;
    pass.last[r] = int64_t{num_partitions} * kPartitionTokens;
    pass.out[r] = out.data() + r * kHeadDim;
  }
  int partition = 0;
  for (auto _ : state) {
    pass.partition_begin = int64_t{partition} * kPartitionTokens;
    for (int i = 0; i < kPagesPerPartition; ++i) {
      const uint8_t* page =
          pages.data() + int64_t{partition * kPagesPerPartition + i} * 2 * head_bytes;
      pass.key_pages[i] = page;
      pass.value_pages[i] = page + head_bytes;
    }
    ops.pass(pass);
    benchmark::ClobberMemory();
    partition = (partition + 1) % num_partitions;
  }
  state.SetBytesProcessed(state.iterations() * kPagesPerPartition * 2 * head_bytes);
  state.counters["GMAC"] = benchmark::Counter(
      static_cast<double>(state.iterations() * num_rows * kPartitionTokens * kHeadDim * 2) / 1e9,
      benchmark::Counter::kIsRate);
}

void register_attention(Isa isa, KvType type) {
  for (const int rows : {3, 12, 24}) {
    for (const int partitions : {1, 2048}) {
      benchmark::RegisterBenchmark(
          ("attention/" + std::string(isa_name(isa)) + "/" + std::string(kv_type_name(type)) + "/" +
           std::to_string(rows) + (partitions == 1 ? "/cache" : "/memory"))
              .c_str(),
          [=](benchmark::State& state) { bench_attention(state, isa, type, rows, partitions); });
    }
  }
}

void register_all() {
  Team alone(1);
  const double read_gb_s = ReadPeak(alone).measure_gb_s();
  for (const DType dtype : kEveryDType) {
    benchmark::RegisterBenchmark(("pack/" + std::string(traits(dtype).name)).c_str(),
                                 [=](benchmark::State& state) { bench_pack(state, dtype); });
  }
  for (const Isa isa : available_isas()) {
    const double int8_gmacs = measure_int8_gmacs(isa, alone);
    const double bf16_gmacs = measure_bf16_gmacs(isa, alone);
    const std::string name(isa_name(isa));
    for (const DType dtype : kEveryDType) {
      const bool is_bf16 = dtype == DType::kBF16 && bf16_gmacs > 0.0;
      const Ceilings ceilings{is_bf16 ? bf16_gmacs : int8_gmacs, read_gb_s};
      for (const int64_t rows : {1, 2, 4, 8, 12, 16, 512}) {
        for (const bool in_memory : {false, true}) {
          benchmark::RegisterBenchmark(
              ("matmul/" + name + "/" + std::string(traits(dtype).name) + "/" +
               std::to_string(rows) + (in_memory ? "/memory" : "/cache"))
                  .c_str(),
              [=](benchmark::State& state) {
                bench_matmul(state, isa, dtype, rows, in_memory, ceilings);
              });
        }
      }
    }
    for (const KvType type : kKvTypes) register_attention(isa, type);
  }
}

}  // namespace
}  // namespace forerun

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  forerun::register_all();
  benchmark::RunSpecifiedBenchmarks();
}
