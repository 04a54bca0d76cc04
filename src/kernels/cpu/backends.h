#pragma once

#include "kernels/attention.h"
#include "kernels/encoder_ops.h"
#include "kernels/matmul.h"
#include "kernels/row_ops.h"

namespace forerun {

// The variants behind kernel_table.h, one source file each. Call one only where its instruction set
// is available.
void matmul_generic(const MatmulArgs& args);
void matmul_avx2(const MatmulArgs& args);
void matmul_avx512(const MatmulArgs& args);
void matmul_vnni(const MatmulArgs& args);
void matmul_amx(const MatmulArgs& args);
// Of dense weights; those above take quantised ones.
void matmul_dense_generic(const MatmulArgs& args);
void matmul_dense_avx2(const MatmulArgs& args);
void matmul_dense_avx512(const MatmulArgs& args);
void matmul_dense_bf16(const MatmulArgs& args);
void matmul_dense_amx(const MatmulArgs& args);
// The tile forms without a tile unit, for tests; they need AVX-512.
void matmul_emulated_tiles(const MatmulArgs& args);  // of all weights
void matmul_dense_emulated_tiles(const MatmulArgs& args);

const RowOps& row_ops_generic();
const RowOps& row_ops_avx2();
const RowOps& row_ops_avx512();

const AttentionOps& attention_generic(KvType type);
const AttentionOps& attention_avx2(KvType type);
const AttentionOps& attention_avx512(KvType type);
const AttentionOps& attention_vnni(KvType type);
const AttentionOps& attention_bf16(KvType type);

const EncoderOps& encoder_ops_generic();
const EncoderOps& encoder_ops_avx2();
const EncoderOps& encoder_ops_avx512();

}  // namespace forerun
