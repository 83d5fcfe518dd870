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
//          +---- a subgroup: COLUMNS ----+
//   k      |  a lane: 4 n × KL k in      |   SIDE subgroups side by side;
//   ROUND  |  16-byte loads, neighbours  |   SPLITS of them split the inputs
//   of     |  side by side               |
//   inputs +-----------------------------+
//
// The more rows, the fewer columns, so that a subgroup's sums fill a quarter of its
// registers. Weights go from registers through shared memory, a piece for each subgroup, so
// that no barrier of the workgroup stands in their stream; the next round's are on their
// way while the units work. Inputs are split once a workgroup. What is out of range is zero.
//
// Built for each storage type and product, as expert.comp, and for BLOCKS of 16 rows. With
// ROUNDED inputs are rounded to a single bfloat16 after all, which is three times as fast.
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_EXT_bfloat16 : require
#include "common.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint THREADS = 128;
layout(constant_id = 1) const uint SIDE = 4;
layout(constant_id = 2) const uint STAGED = 64; // inputs of a split in shared memory at a time
const uint SUBGROUP = 32, BLOCK = 16;
const uint SUBGROUPS = THREADS / SUBGROUP, SPLITS = SUBGROUPS / SIDE;
#ifdef ROUNDED
const uint PARTS = 1; // of an input
#else
const uint PARTS = 3;
#endif

// FRAGMENTS are of 16 columns.
#define EACH_2(X, b) X(0, b) X(1, b)
#define EACH_4(X, b) EACH_2(X, b) X(2, b) X(3, b)
#define EACH_8(X, b) EACH_4(X, b) X(4, b) X(5, b) X(6, b) X(7, b)
#if BLOCKS == 1
#define EACH_BLOCK(X) X(0)
#elif BLOCKS == 2
#define EACH_BLOCK(X) X(0) X(1)
#else
#define EACH_BLOCK(X) X(0) X(1) X(2) X(3)
#endif
#if BLOCKS == 1 && !defined(UP_SWIGLU)
const uint FRAGMENTS = 8;
#define EACH_FRAGMENT EACH_8
#elif BLOCKS <= 2 || defined(ROUNDED) && !defined(UP_SWIGLU)
const uint FRAGMENTS = 4;
#define EACH_FRAGMENT EACH_4
#else
const uint FRAGMENTS = 2;
#define EACH_FRAGMENT EACH_2
#endif
const uint COLUMNS = FRAGMENTS * BLOCK;
const uint LANES = COLUMNS / 4; // side by side
#ifdef F32
const uint WEIGHT_PARTS = 3, KL = 4, LOADS = 4;
#else
#ifdef F16
const uint WEIGHT_PARTS = 2;
#else
const uint WEIGHT_PARTS = 1;
#endif
const uint KL = FRAGMENTS == 8 ? 16 : 8, LOADS = KL / 2;
#endif
const uint ROUND = SUBGROUP / LANES * KL;
// Rows of shared memory are padded by 16 bytes, against bank conflicts; units of 16 bytes.
const uint WEIGHT_ROW = ROUND / 8 + 1, INPUT_ROW = STAGED / 8 + 1;

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
    uint64_t src;
    uint64_t dst;
    uint64_t weight;
    uint64_t gate;
    uint inputs;
    uint outputs;
    uint first;
} pc;

// Shared memory: weights (subgroup, part, row of columns, k), then inputs (part, split, row,
// k); in the end the sums of a block, (split, row of columns, quad) of vec4, for both. A
// subgroup's columns are in the order that spreads its stores over the banks: column
// 4 · lane + j in row j · LANES + lane.
const uint WEIGHTS = SUBGROUPS * WEIGHT_PARTS * COLUMNS * WEIGHT_ROW;
const uint INPUTS = PARTS * SPLITS * BLOCKS * BLOCK * INPUT_ROW;
const uint SUMS = SUBGROUPS * COLUMNS * BLOCK / 4;
shared uvec4 sh[WEIGHTS + INPUTS > SUMS ? WEIGHTS + INPUTS : SUMS];
// Pieces of inputs, four of each row of a quad, that a thread loads.
const uint PIECES = SPLITS * BLOCKS * STAGED, MINE = (PIECES + THREADS - 1) / THREADS;

// SYNC makes shared memory that a subgroup has written visible in it. It leaves buffers
// alone, unlike subgroupBarrier: loads under way stay under way.
#define SYNC controlBarrier(gl_ScopeSubgroup, gl_ScopeSubgroup, \
                            gl_StorageSemanticsShared, gl_SemanticsAcquireRelease)

#define MATRIX(T, USE) coopmat<T, gl_ScopeSubgroup, 16, 16, USE>
#define ACCUMULATOR MATRIX(float, gl_MatrixUseAccumulator)

// cut takes the leading bfloat16 off x and returns it, in the upper half of the word.
uint cut(inout float x) {
    const uint top = floatBitsToUint(x) & 0xffff0000u;
    x -= uintBitsToFloat(top);
    return top;
}

// pack makes a pair of bfloat16 of two upper halves.
uint pack(uint first, uint second) { return second | first >> 16; }

// rounded is the bfloat16 next to x, ties to even, in the upper half of the word.
uint rounded(float x) {
    const uint bits = floatBitsToUint(x);
    return bits + 0x7fffu + (bits >> 16 & 1u) & 0xffff0000u;
}

// split4 takes the next part off four values.
uvec2 split4(inout vec4 v) {
    const uint a = cut(v.x), b = cut(v.y), c = cut(v.z), d = cut(v.w);
    return uvec2(pack(a, b), pack(c, d));
}

// storeWeights splits what a lane has loaded, four outputs of KL inputs, into its piece.
void storeWeights(uint piece, uint lane, uint group, uvec4 raw[LOADS]) {
    [[unroll]] for (uint j = 0; j < 4; j++) {
        const uint at = piece + (j * LANES + lane) * WEIGHT_ROW;
#ifdef F32
        vec4 w = uintBitsToFloat(uvec4(raw[0][j], raw[1][j], raw[2][j], raw[3][j]));
        [[unroll]] for (uint p = 0; p < WEIGHT_PARTS; p++) {
            const uint i = at + p * COLUMNS * WEIGHT_ROW + group / 2;
            const uvec2 part = split4(w);
            if (group % 2 == 0) sh[i].xy = part;
            else sh[i].zw = part;
        }
#else
        [[unroll]] for (uint i = 0; i < LOADS; i += 4) {
            const uvec4 w = uvec4(raw[i][j], raw[i + 1][j], raw[i + 2][j], raw[i + 3][j]);
            const uint to = at + group * (KL / 8) + i / 4;
#ifdef F16
            vec4 low = vec4(unpackHalf2x16(w.x), unpackHalf2x16(w.y));
            vec4 high = vec4(unpackHalf2x16(w.z), unpackHalf2x16(w.w));
            [[unroll]] for (uint p = 0; p < WEIGHT_PARTS; p++)
                sh[to + p * COLUMNS * WEIGHT_ROW] = uvec4(split4(low), split4(high));
#else
            sh[to] = w;
#endif
        }
#endif
    }
}

// loadRound reads a lane's weights: KL inputs from k on, four outputs.
void loadRound(UVec4In m, bool inside, uint k, uint column, out uvec4 raw[LOADS]) {
    const uint stride = pc.outputs / 4;
    const uint from = k / (KL / LOADS) * stride + column;
    [[unroll]] for (uint i = 0; i < LOADS; i++) {
        const bool there = inside && k + i * (KL / LOADS) < pc.inputs;
        raw[i] = there ? m.v[from + i * stride] : uvec4(0);
    }
}

vec4 coming[4 * MINE]; // inputs on their way: (piece, k) of vec4, four rows each

// loadInputs starts to read the inputs of all splits from base on.
void loadInputs(Vec4In src, Tile tile, uint base, uint tid) {
    const uint quads = (tile.rows + 3) / 4;
    [[unroll]] for (uint m = 0; m < MINE; m++) {
        const uint i = m * THREADS + tid, at = i % (STAGED / 4) * 4, q = i / (STAGED / 4);
        const uint split = q / (4 * BLOCKS), quad = q % (4 * BLOCKS);
        const uint k = base + split * STAGED + at;
        const bool there = i < PIECES && quad < quads && k < pc.inputs;
        [[unroll]] for (uint j = 0; j < 4; j++)
            coming[4 * m + j] = there ? src.v[(tile.quad + quad) * pc.inputs + k + j] : vec4(0.0);
    }
}

// storeInputs splits what has been read.
void storeInputs(uint tid) {
    [[unroll]] for (uint m = 0; m < MINE; m++) {
        const uint i = m * THREADS + tid, at = i % (STAGED / 4) * 4, q = i / (STAGED / 4);
        const uint split = q / (4 * BLOCKS), quad = q % (4 * BLOCKS);
        if (i < PIECES) {
            [[unroll]] for (uint r = 0; r < 4; r++) {
                vec4 v = vec4(coming[4 * m][r], coming[4 * m + 1][r],
                              coming[4 * m + 2][r], coming[4 * m + 3][r]);
                [[unroll]] for (uint p = 0; p < PARTS; p++) {
                    const uint row = (p * SPLITS + split) * BLOCKS * BLOCK + 4 * quad + r;
#ifdef ROUNDED
                    const uvec2 part = uvec2(pack(rounded(v.x), rounded(v.y)),
                                             pack(rounded(v.z), rounded(v.w)));
#else
                    const uvec2 part = split4(v);
#endif
                    const uint to = WEIGHTS + row * INPUT_ROW + at / 8;
                    if (at % 8 == 0) sh[to].xy = part;
                    else sh[to].zw = part;
                }
            }
        }
    }
}

// Compilers leave loops over matrices rolled, which puts the matrices into memory; so these
// loops are written out.
ACCUMULATOR acc[BLOCKS * FRAGMENTS];
#ifdef UP_SWIGLU
ACCUMULATOR accGate[BLOCKS * FRAGMENTS];
#endif

// The fragments of weights of one step of 16 inputs, and of inputs of one block.
#define W(f, q) w[(f) * WEIGHT_PARTS + (q)]
#define LOAD_PART(f, q) \
    coopMatLoad(W(f, q), sh, piece + ((q) * COLUMNS + (f) * BLOCK) * WEIGHT_ROW + k / 8, \
                WEIGHT_ROW, gl_CooperativeMatrixLayoutColumnMajor);
#define X(p) x##p
#define LOAD_INPUT(p, b) \
    coopMatLoad(X(p), sh, \
                WEIGHTS + (((p) * SPLITS + split) * BLOCKS + (b)) * BLOCK * INPUT_ROW + (from + k) / 8, \
                INPUT_ROW, gl_CooperativeMatrixLayoutRowMajor);
#define TERM(f, p, q) sum = coopMatMulAdd(X(p), W(f, q), sum);
#define LOAD_INPUTS(b) LOAD_INPUT(0, b) LOAD_INPUT(1, b) LOAD_INPUT(2, b)
// The products of a step, small terms first.
#ifdef F32
#define LOAD_WEIGHT(f, unused) LOAD_PART(f, 0) LOAD_PART(f, 1) LOAD_PART(f, 2)
#define TERMS(f) TERM(f, 2, 0) TERM(f, 1, 1) TERM(f, 0, 2) TERM(f, 1, 0) TERM(f, 0, 1) TERM(f, 0, 0)
#elif defined(F16)
#define LOAD_WEIGHT(f, unused) LOAD_PART(f, 0) LOAD_PART(f, 1)
#define TERMS(f) TERM(f, 2, 0) TERM(f, 1, 1) TERM(f, 1, 0) TERM(f, 0, 1) TERM(f, 0, 0)
#else
#define LOAD_WEIGHT(f, unused) LOAD_PART(f, 0)
#define TERMS(f) TERM(f, 2, 0) TERM(f, 1, 0) TERM(f, 0, 0)
#endif
#define MULTIPLY(to, f, b) { \
    ACCUMULATOR sum = ACCUMULATOR(0.0); \
    TERMS(f) \
    to[(b) * FRAGMENTS + (f)] = to[(b) * FRAGMENTS + (f)] + sum; \
}
#ifdef ROUNDED // the units' own sums are exact enough
#undef LOAD_INPUTS
#undef TERMS
#undef MULTIPLY
#define LOAD_INPUTS(b) LOAD_INPUT(0, b)
#ifdef F16
#define TERMS(f) TERM(f, 0, 1) TERM(f, 0, 0)
#else
#define TERMS(f) TERM(f, 0, 0)
#endif
#define MULTIPLY(to, f, b) { \
    ACCUMULATOR sum = to[(b) * FRAGMENTS + (f)]; \
    TERMS(f) \
    to[(b) * FRAGMENTS + (f)] = sum; \
}
#endif
#define MULTIPLY_ACC(f, b) MULTIPLY(acc, f, b)
#define MULTIPLY_GATE(f, b) MULTIPLY(accGate, f, b)
#define ADD_BLOCK(b, EACH) { \
    MATRIX(bfloat16_t, gl_MatrixUseA) x0, x1, x2; \
    LOAD_INPUTS(b) \
    EACH_FRAGMENT(EACH, b) \
}
#define ADD_TO_ACC(b) ADD_BLOCK(b, MULTIPLY_ACC)
#define ADD_TO_GATE(b) ADD_BLOCK(b, MULTIPLY_GATE)

// RUN_ROUND works on a round's weights, raw, and meanwhile fetches the next one's.
#define RUN_ROUND(matrix, raw, EACH) \
    storeWeights(piece, lane, group, raw); \
    SYNC; \
    loadRound(matrix, inside, after + group * KL, column, raw); \
    for (uint k = 0; k < ROUND; k += BLOCK) { \
        MATRIX(bfloat16_t, gl_MatrixUseB) w[WEIGHT_PARTS * FRAGMENTS]; \
        EACH_FRAGMENT(LOAD_WEIGHT, 0) \
        EACH_BLOCK(EACH) \
    } \
    SYNC;

float gelu(float x) { // tanh form: x/2 · (1 + tanh z) = x / (1 + e^(-2z))
    float z = 0.7978845608028654 * (x + 0.044715 * x * x * x);
    return x / (1.0 + exp(-2.0 * z));
}

float silu(float x) { return x / (1.0 + exp(-x)); }

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
#define STORE_SUM(matrices, f, b) \
    coopMatStore(matrices[(b) * FRAGMENTS + (f)], sh, \
                 ((split * SIDE + side) * COLUMNS + (f) * BLOCK) * (BLOCK / 4), BLOCK / 4, \
                 gl_CooperativeMatrixLayoutColumnMajor);
#define STORE_ACC(f, b) STORE_SUM(acc, f, b)
#define STORE_GATE(f, b) STORE_SUM(accGate, f, b)
#define STORE_SUMS(EACH, b) barrier(); EACH_FRAGMENT(EACH, b) barrier();

// sum adds up one (row of columns, quad) over the splits.
vec4 sum(uint i) {
    vec4 v = uintBitsToFloat(sh[i]);
    for (uint s = 1; s < SPLITS; s++)
        v += uintBitsToFloat(sh[s * SIDE * COLUMNS * (BLOCK / 4) + i]);
    return v;
}

// columnOf is the output, counted from the workgroup's first, in a row of columns.
uint columnOf(uint row) {
    const uint r = row % COLUMNS;
    return row - r + r % LANES * 4 + r / LANES;
}

void main() {
    const uint tid = gl_LocalInvocationID.x;
    const uint lane = gl_SubgroupInvocationID % LANES, group = gl_SubgroupInvocationID / LANES;
    const uint side = gl_SubgroupID % SIDE, split = gl_SubgroupID / SIDE;
    const uint n0 = gl_WorkGroupID.x * SIDE * COLUMNS;
    const uint column = (n0 + side * COLUMNS) / 4 + lane;
    const bool inside = column * 4 < pc.outputs;
    const Tile tile = Tiles(pc.tiles).v[pc.first + gl_WorkGroupID.y];
    UVec4In weight = UVec4In(tile.slot + pc.weight);
    const uint piece = gl_SubgroupID * WEIGHT_PARTS * COLUMNS * WEIGHT_ROW;

#define CLEAR(f, b) acc[(b) * FRAGMENTS + (f)] = ACCUMULATOR(0.0);
#define CLEAR_BLOCK(b) EACH_FRAGMENT(CLEAR, b)
    EACH_BLOCK(CLEAR_BLOCK)
    Vec4In src = Vec4In(pc.src);
    loadInputs(src, tile, 0, tid);
    uvec4 raw[LOADS]; // weights on their way
    loadRound(weight, inside, split * STAGED + group * KL, column, raw);
#ifdef UP_SWIGLU
    UVec4In gate = UVec4In(tile.slot + pc.gate);
#define CLEAR_GATE(f, b) accGate[(b) * FRAGMENTS + (f)] = ACCUMULATOR(0.0);
#define CLEAR_GATES(b) EACH_FRAGMENT(CLEAR_GATE, b)
    EACH_BLOCK(CLEAR_GATES)
    uvec4 rawGate[LOADS];
    loadRound(gate, inside, split * STAGED + group * KL, column, rawGate);
#endif

    for (uint base = 0; base < pc.inputs; base += SPLITS * STAGED) {
        barrier();
        storeInputs(tid);
        barrier();
        loadInputs(src, tile, base + SPLITS * STAGED, tid);
        for (uint from = 0; from < STAGED; from += ROUND) {
            const uint next = base + split * STAGED + from + ROUND;
            const uint after = from + ROUND < STAGED ? next : next + (SPLITS - 1) * STAGED;
            RUN_ROUND(weight, raw, ADD_TO_ACC)
#ifdef UP_SWIGLU
            RUN_ROUND(gate, rawGate, ADD_TO_GATE)
#endif
        }
    }

    Vec4Out dst = Vec4Out(pc.dst);
    const uint quads = (tile.rows + 3) / 4, items = SIDE * COLUMNS * (BLOCK / 4);
    vec4 y[(items + THREADS - 1) / THREADS]; // what this thread finishes
#ifdef UP_SWIGLU
#define SUM_GATE(b) \
    STORE_SUMS(STORE_GATE, b) \
    [[unroll]] for (uint i = 0; i < y.length(); i++) \
        if (i * THREADS + tid < items) y[i] = sum(i * THREADS + tid);
#else
#define SUM_GATE(b)
#endif
#define FINISH(b) { \
    SUM_GATE(b) \
    STORE_SUMS(STORE_ACC, b) \
    [[unroll]] for (uint i = 0; i < y.length(); i++) { \
        const uint item = i * THREADS + tid; \
        const uint n = n0 + columnOf(item / (BLOCK / 4)); \
        const uint q = (b) * (BLOCK / 4) + item % (BLOCK / 4); \
        if (item < items && n < pc.outputs && q < quads) \
            dst.v[(tile.quad + q) * pc.outputs + n] = activate(sum(item), y[i]); \
    } \
}
    EACH_BLOCK(FINISH)
}
