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
void matmul_emulated_tiles(const MatmulArgs& args);  // needs AVX-512

const RowOps& row_ops_generic();
const RowOps& row_ops_avx2();
const RowOps& row_ops_avx512();

const AttentionOps& attention_generic();
const AttentionOps& attention_avx2();
const AttentionOps& attention_avx512();
const AttentionOps& attention_bf16();

const EncoderOps& encoder_ops_generic();
const EncoderOps& encoder_ops_avx2();
const EncoderOps& encoder_ops_avx512();

}  // namespace forerun
