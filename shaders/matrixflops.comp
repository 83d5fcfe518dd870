#version 460
// Ceiling: products of cooperative matrices in registers, of 16-bit operands into float32.
//
// M, N and K are a shape that the device reports. Every subgroup keeps two A, four B and
// their eight products, and adds to those over and over: no memory takes part. Operands are
// random, of magnitude 1 to 2, since zeros draw less power and so run at a higher clock;
// sums stay far below what float32 holds.
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#ifdef BF16
#extension GL_EXT_bfloat16 : require
#else
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#endif
#include "common.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint THREADS = 128;
layout(constant_id = 1) const uint M = 16;
layout(constant_id = 2) const uint N = 16;
layout(constant_id = 3) const uint K = 16;

layout(push_constant, scalar) uniform Push {
    uint64_t dst;
    uint rounds; // 8 · 2 · M · N · K operations each, a subgroup
} pc;

#ifdef BF16
#define OPERAND bfloat16_t
const uint VARIES = 0x807f807fu, ONE = 0x3f803f80u; // sign and fraction of a pair; 1.0 twice
#else
#define OPERAND float16_t
const uint VARIES = 0x83ff83ffu, ONE = 0x3c003c00u;
#endif

// Two A, rows of K, and four B, columns of K, in units of 16 bytes.
const uint UNITS = K / 8, A = M * UNITS, B = N * UNITS;
shared uvec4 sh[2 * A + 4 * B];

uint random(uint i) { // two operands
    i = (i ^ i >> 16) * 0x7feb352du;
    i = (i ^ i >> 15) * 0x846ca68bu;
    return (i ^ i >> 16) & VARIES | ONE;
}

#define MATRIX(T, ROWS, COLUMNS, USE) coopmat<T, gl_ScopeSubgroup, ROWS, COLUMNS, USE>
#define LOAD_A(i) MATRIX(OPERAND, M, K, gl_MatrixUseA) a##i; \
    coopMatLoad(a##i, sh, i * A, UNITS, gl_CooperativeMatrixLayoutRowMajor);
#define LOAD_B(j) MATRIX(OPERAND, K, N, gl_MatrixUseB) b##j; \
    coopMatLoad(b##j, sh, 2 * A + j * B, UNITS, gl_CooperativeMatrixLayoutColumnMajor);

// Loops over matrices would stay rolled and put them into memory; so they are written out.
#define EACH(X) X(0, 0) X(0, 1) X(0, 2) X(0, 3) X(1, 0) X(1, 1) X(1, 2) X(1, 3)
#define SUM MATRIX(float, M, N, gl_MatrixUseAccumulator)
#define BEGIN(i, j) SUM c##i##j = SUM(0.0);
#define MULTIPLY(i, j) c##i##j = coopMatMulAdd(a##i, b##j, c##i##j);
#define ADD(i, j) sum = sum + c##i##j;

void main() {
    for (uint i = gl_LocalInvocationID.x; i < 2 * A + 4 * B; i += THREADS)
        sh[i] = uvec4(random(4 * i), random(4 * i + 1), random(4 * i + 2), random(4 * i + 3));
    barrier();
    LOAD_A(0) LOAD_A(1)
    LOAD_B(0) LOAD_B(1) LOAD_B(2) LOAD_B(3)
    EACH(BEGIN)
    for (uint r = 0; r < pc.rounds; r++) {
        EACH(MULTIPLY)
    }
    SUM sum = SUM(0.0);
    EACH(ADD)
    float all = 0.0; // of every element: what nobody asks for need not be multiplied
    [[unroll]] for (uint i = 0; i < sum.length(); i++) all += sum[i];
    if (all == 1.25) FloatIO(pc.dst).v[gl_LocalInvocationID.x] = all;
}
