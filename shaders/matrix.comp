#version 460
// One product of many experts at once, as expert.comp, on the matrix units.
//
// The units multiply bfloat16 and add in float32. No operand is rounded to that: a float32
// is the exact sum of three bfloat16 (8 bits of its 24 each), a float16 of two, and the
// product is the sum of the products of their parts (Henry, Tang and Heinecke, "Leveraging
// the bfloat16 Artificial Intelligence Datatype For Higher-Precision Computations", 2019,
// section III). Left out are the terms below 2^-24 of the largest, what one rounding of
// float32 costs. Since the units cut instead of rounding when they add, only the products of
// 16 inputs are added up there; the rest is ordinary float32 arithmetic.
//
//            outputs n ->
//          +--- a subgroup: 64 ---+
//   k      | 4 fragments of 16×16 |   SIDE subgroups side by side;
//   16 a   | a lane: 4 n × 4 k,   |   SPLITS of them take the steps of 16 inputs in turn
//   step   | 16 bytes a load      |
//          +----------------------+
//
// A lane's elements of a matrix stand where fragments.comp has found them: of 16×16 weights,
// lane 4g + t has inputs 2t, 2t + 1, 2t + 8 and 2t + 9 of columns g and g + 8. Which columns
// those are is free. So the four columns of a 16-byte load go to four fragments, and weights
// reach the units without a detour through shared memory. Inputs come in the same way, in
// parts that gather.comp and the first product leave (struct below). Nothing in the loop
// waits for another subgroup; AHEAD steps of weights and INPUTS_AHEAD of inputs are under way.
//
// Built for each storage type and product, as expert.comp, and for BLOCKS of 16 rows; blocks
// that a tile does not use cost nothing. With ROUNDED inputs are rounded to a single bfloat16
// after all, which is three times as fast. What is out of range is zero.
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_EXT_bfloat16 : require
#extension GL_EXT_shader_explicit_arithmetic_types_int16 : require
#include "common.glsl"
#include "parts.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint THREADS = 128;
layout(constant_id = 1) const uint SIDE = 4;         // even with UP_SWIGLU
layout(constant_id = 2) const bool WHOLE = false;    // inputs % 16 = 0 and outputs % OUTPUTS = 0
const uint SUBGROUP = 32, BLOCK = 16, COLUMNS = 64; // of a subgroup
const uint SUBGROUPS = THREADS / SUBGROUP, SPLITS = SUBGROUPS / SIDE;
#ifdef UP_SWIGLU
const uint OUTPUTS = SIDE / 2 * COLUMNS; // of a workgroup; the second half of SIDE has the gate
#else
const uint OUTPUTS = SIDE * COLUMNS;
#endif
#ifdef ROUNDED
const uint PARTS = 1; // of an input
#define EACH_PART(X, b) X(0, b)
#else
const uint PARTS = MAX_PARTS;
#define EACH_PART(X, b) X(0, b) X(1, b) X(2, b)
#endif
#ifdef F32
const uint WEIGHT_PARTS = 3, LOADS = 8;
#elif defined(F16)
const uint WEIGHT_PARTS = 2, LOADS = 4;
#else
const uint WEIGHT_PARTS = 1, LOADS = 4;
#endif
#define EACH_FRAGMENT(X, b) X(0, b) X(1, b) X(2, b) X(3, b)
#if BLOCKS == 1
#define EACH_BLOCK(X) X(0)
#elif BLOCKS == 2
#define EACH_BLOCK(X) X(0) X(1)
#elif BLOCKS == 3
#define EACH_BLOCK(X) X(0) X(1) X(2)
#else
#define EACH_BLOCK(X) X(0) X(1) X(2) X(3)
#endif

struct Tile { // as in expert.comp
    uint64_t slot;
    uint quad;
    uint rows;
};
layout(buffer_reference, scalar, buffer_reference_align = 16) readonly restrict buffer Tiles {
    Tile v[];
};

layout(push_constant, scalar) uniform Push { // as in expert.comp
    uint64_t tiles;
    uint64_t src;    // inputs in parts
    uint64_t dst;    // outputs in parts; DOWN: (rows, outputs)
    uint64_t weight;
    uint64_t gate;
    uint inputs;
    uint outputs;
    uint first;
} pc;

shared vec4 sh[SUBGROUPS * COLUMNS * (BLOCK / 4)]; // sums of a block: (split, column, 16 rows)

#define MATRIX(T, USE) coopmat<T, gl_ScopeSubgroup, 16, 16, USE>
#define ACCUMULATOR MATRIX(float, gl_MatrixUseAccumulator)

// loadWeights reads a lane's part of a step: of two pieces of 32 columns, four columns each.
void loadWeights(UVec4In m, uint k, uint n, out uvec4 raw[LOADS]) {
    const uint lane = gl_SubgroupInvocationID, g = lane / 4, t = lane % 4;
    const uint stride = pc.outputs / 4;
    [[unroll]] for (uint i = 0; i < LOADS; i++) {
#ifdef F32
        const uint row = k + 2 * t + i % 2 + i / 2 % 2 * 8, piece = i / 4, at = row;
#else
        const uint row = k + 2 * t + i % 2 * 8, piece = i / 2, at = row / 2;
#endif
        const uint column = n / 4 + 8 * piece + g;
        const bool there = WHOLE || column * 4 < pc.outputs && row < pc.inputs;
        raw[i] = there ? m.v[at * stride + column] : uvec4(0);
    }
}

// loadInputs reads a lane's part of the inputs of a step, for the blocks in use.
void loadInputs(UVec4In src, Tile tile, uint s, out uvec4 a[BLOCKS * PARTS]) {
    const uint lane = gl_SubgroupInvocationID;
    [[unroll]] for (uint b = 0; b < BLOCKS; b++)
        if (b == 0 || tile.rows > b * BLOCK)
            [[unroll]] for (uint p = 0; p < PARTS; p++)
                a[b * PARTS + p] = src.v[partAt(tile.quad + 4 * b + lane / 8, s, p, PARTS, pc.inputs)
                                         + lane % 8];
}

// Compilers leave loops over matrices rolled, which puts the matrices into memory; so these
// loops are written out.
ACCUMULATOR acc[BLOCKS * 4];

// SET gives a matrix its elements 2i and 2i + 1, two neighbouring inputs.
#define SET(m, i, pair) { \
    const u16vec2 e = unpack16(pair); \
    m[2 * (i)] = uintBitsToBFloat16EXT(e.x); \
    m[2 * (i) + 1] = uintBitsToBFloat16EXT(e.y); \
}
#define W(f, q) w[(f) * WEIGHT_PARTS + (q)]
#define X(p) x##p
#define FILL_INPUT(p, b) \
    SET(X(p), 0, in_[(b) * PARTS + (p)].x) SET(X(p), 1, in_[(b) * PARTS + (p)].y) \
    SET(X(p), 2, in_[(b) * PARTS + (p)].z) SET(X(p), 3, in_[(b) * PARTS + (p)].w)
#ifdef F32
#define FILL_PAIR(f, i) { \
    float a = uintBitsToFloat(raw[2 * (i)][f]), b = uintBitsToFloat(raw[2 * (i) + 1][f]); \
    SET(W(f, 0), i, pack(cut(a), cut(b))) SET(W(f, 1), i, pack(cut(a), cut(b))) \
    SET(W(f, 2), i, pack(cut(a), cut(b))) \
}
#elif defined(F16)
#define FILL_PAIR(f, i) { \
    vec2 v = unpackHalf2x16(raw[i][f]); \
    SET(W(f, 0), i, pack(cut(v.x), cut(v.y))) SET(W(f, 1), i, pack(cut(v.x), cut(v.y))) \
}
#else
#define FILL_PAIR(f, i) SET(W(f, 0), i, raw[i][f])
#endif
#define FILL_WEIGHT(f, unused) FILL_PAIR(f, 0) FILL_PAIR(f, 1) FILL_PAIR(f, 2) FILL_PAIR(f, 3)

// The products of a step, small terms first. The four fragments take turns, for each product
// of one waits for the one before.
#define TERM(p, q) \
    s0 = coopMatMulAdd(X(p), W(0, q), s0); s1 = coopMatMulAdd(X(p), W(1, q), s1); \
    s2 = coopMatMulAdd(X(p), W(2, q), s2); s3 = coopMatMulAdd(X(p), W(3, q), s3);
#if defined(ROUNDED) && defined(F16)
#define TERMS TERM(0, 1) TERM(0, 0)
#elif defined(ROUNDED)
#define TERMS TERM(0, 0)
#elif defined(F32)
#define TERMS TERM(2, 0) TERM(1, 1) TERM(0, 2) TERM(1, 0) TERM(0, 1) TERM(0, 0)
#elif defined(F16)
#define TERMS TERM(2, 0) TERM(1, 1) TERM(1, 0) TERM(0, 1) TERM(0, 0)
#else
#define TERMS TERM(2, 0) TERM(1, 0) TERM(0, 0)
#endif
#ifdef ROUNDED // the units' own sums are exact enough
#define START(b, f) acc[(b) * 4 + (f)]
#define STOP(b, f, s) acc[(b) * 4 + (f)] = s;
#else
#define START(b, f) ACCUMULATOR(0.0)
#define STOP(b, f, s) acc[(b) * 4 + (f)] = acc[(b) * 4 + (f)] + s;
#endif
#define MULTIPLY(b) if ((b) == 0 || tile.rows > (b) * BLOCK) { \
    MATRIX(bfloat16_t, gl_MatrixUseA) x0, x1, x2; \
    EACH_PART(FILL_INPUT, b) \
    ACCUMULATOR s0 = START(b, 0), s1 = START(b, 1), s2 = START(b, 2), s3 = START(b, 3); \
    TERMS \
    STOP(b, 0, s0) STOP(b, 1, s1) STOP(b, 2, s2) STOP(b, 3, s3) \
}

// STEP multiplies what weights_ and inputs_ have brought and sends them for later steps.
#define STEP(weights_, inputs_) { \
    const uvec4 in_[BLOCKS * PARTS] = inputs_; \
    MATRIX(bfloat16_t, gl_MatrixUseB) w[WEIGHT_PARTS * 4]; \
    { \
        const uvec4 raw[LOADS] = weights_; \
        EACH_FRAGMENT(FILL_WEIGHT, 0) \
    } \
    loadWeights(weight, min(s + AHEAD * SPLITS, steps - 1) * BLOCK, n, weights_); \
    loadInputs(src, tile, min(s + INPUTS_AHEAD * SPLITS, steps - 1), inputs_); \
    EACH_BLOCK(MULTIPLY) \
    s += SPLITS; \
}

vec4 activate(vec4 v, vec4 gate) {
#ifdef UP_GELU
    return vec4(gelu(v.x), gelu(v.y), gelu(v.z), gelu(v.w));
#elif defined(UP_SWIGLU)
    return v * vec4(silu(gate.x), silu(gate.y), silu(gate.z), silu(gate.w));
#else
    return v;
#endif
}

// STORE_SUMS leaves one block of all subgroups' accumulators in sh.
#define STORE_SUM(f, b) \
    coopMatStore(acc[(b) * 4 + (f)], sh, (gl_SubgroupID * COLUMNS + (f) * BLOCK) * (BLOCK / 4), \
                 BLOCK / 4, gl_CooperativeMatrixLayoutColumnMajor);
#define STORE_SUMS(b) barrier(); EACH_FRAGMENT(STORE_SUM, b) barrier();

// sum adds up one column of the workgroup over the splits, for the rows of a quad: column
// 32h + 4g + f of a subgroup is column 8h + g of fragment f, and rows 2q, 2q + 8, 2q + 1 and
// 2q + 9 of the matrices are a quad.
vec4 sum(uint column, uint quad) {
    const uint c = column % 64, own = column - c + c % 4 * 16 + c / 32 * 8 + c % 32 / 4;
    uint i = own * (BLOCK / 4) + quad / 2;
    vec4 v = vec4(0.0);
    for (uint split = 0; split < SPLITS; split++) {
        const vec4 a = sh[i], b = sh[i + 2];
        v += quad % 2 == 0 ? vec4(a.x, b.x, a.y, b.y) : vec4(a.z, b.z, a.w, b.w);
        i += SIDE * COLUMNS * (BLOCK / 4);
    }
    return v;
}

// finish stores the block that is in sh.
#ifdef DOWN
void finish(Tile tile, uint block, uint n0) {
    for (uint i = gl_LocalInvocationID.x; i < OUTPUTS * 4; i += THREADS) {
        const uint n = i % OUTPUTS, quad = i / OUTPUTS, row = 16 * block + 4 * quad;
        if (n0 + n >= pc.outputs || row >= tile.rows) continue;
        const vec4 v = sum(n, quad);
        [[unroll]] for (uint r = 0; r < 4; r++)
            if (row + r < tile.rows)
                FloatIO(pc.dst).v[(4 * tile.quad + row + r) * pc.outputs + n0 + n] = v[r];
    }
}
#else
void finish(Tile tile, uint block, uint n0) { // a thread: four outputs of a quad
    for (uint i = gl_LocalInvocationID.x; i < OUTPUTS; i += THREADS) {
        const uint s = n0 / 16 + i / 16, quad = i / 4 % 4, t = i % 4;
        if (s * 16 >= pc.outputs || 16 * block + 4 * quad >= tile.rows) continue;
        vec4 v[4];
        [[unroll]] for (uint j = 0; j < 4; j++) {
            const uint n = i / 16 * 16 + inputOf(t, j);
#ifdef UP_SWIGLU
            v[j] = activate(sum(n, quad), sum(OUTPUTS + n, quad));
#else
            v[j] = activate(sum(n, quad), vec4(0.0));
#endif
        }
        storeParts(UVec4Out(pc.dst), tile.quad + 4 * block + quad, s, t, v, PARTS, pc.outputs);
    }
}
#endif

void main() {
    const uint side = gl_SubgroupID % SIDE, split = gl_SubgroupID / SIDE;
    const uint n0 = gl_WorkGroupID.x * OUTPUTS, n = n0 + side * COLUMNS % OUTPUTS;
    const Tile tile = Tiles(pc.tiles).v[pc.first + gl_WorkGroupID.y];
    UVec4In weight = UVec4In(tile.slot + (side * COLUMNS < OUTPUTS ? pc.weight : pc.gate));
    UVec4In src = UVec4In(pc.src);
    const uint steps = (pc.inputs + BLOCK - 1) / BLOCK;

#define CLEAR(f, b) acc[(b) * 4 + (f)] = ACCUMULATOR(0.0);
#define CLEAR_BLOCK(b) EACH_FRAGMENT(CLEAR, b)
    EACH_BLOCK(CLEAR_BLOCK)
    uint s = split;
    uvec4 weights0[LOADS], inputs0[BLOCKS * PARTS]; // on their way
    loadWeights(weight, min(s, steps - 1) * BLOCK, n, weights0);
    loadInputs(src, tile, min(s, steps - 1), inputs0);
#if AHEAD == 2
    uvec4 weights1[LOADS];
    loadWeights(weight, min(s + SPLITS, steps - 1) * BLOCK, n, weights1);
#endif
#if INPUTS_AHEAD == 2
    uvec4 inputs1[BLOCKS * PARTS];
    loadInputs(src, tile, min(s + SPLITS, steps - 1), inputs1);
#else
#define inputs1 inputs0
#endif
    while (s < steps) {
        STEP(weights0, inputs0)
#if AHEAD == 2
        if (s >= steps) break;
        STEP(weights1, inputs1)
#endif
    }
#define FINISH(b) if ((b) == 0 || tile.rows > (b) * BLOCK) { \
    STORE_SUMS(b) \
    finish(tile, b, n0); \
}
    EACH_BLOCK(FINISH)
}
