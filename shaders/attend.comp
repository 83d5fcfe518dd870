#version 460
// Causal attention with shared keys: softmax(q · kᵀ / √dim) · v, in one pass over the
// cache. A workgroup takes HEADS query heads of one key head for TOKENS tokens, ROWS rows in
// all, so that a key or value is read once for all of them.
//
//   positions ──block of BLOCK──┬──block──┬── …        a split of the positions
//     scores: SHARE threads side by side a position, all rows
//     values: a thread 4 dimensions of every GROUPS-th position, all rows
//
// Running maximum and sum of each row make the softmax stable: what was added up before a
// larger score came is scaled down. Where few tokens have a long past, gl_NumWorkGroups.z
// splits share it and merge.comp puts their results together.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint THREADS = 64;
layout(constant_id = 1) const uint DIM = 128;   // of a head, a multiple of 4
layout(constant_id = 2) const uint HEADS = 4;
layout(constant_id = 3) const uint TOKENS = 1;
layout(constant_id = 4) const uint SHARE = 4;   // divides THREADS
const uint DIM4 = DIM / 4;
const uint ROWS = HEADS * TOKENS;
const uint BLOCK = THREADS / SHARE;             // positions
const uint GROUPS = THREADS / DIM4;             // DIM4 <= THREADS
const uint LANES = THREADS / ROWS;              // that reduce one row; ROWS <= THREADS
const uint TOGETHER = 4;                        // rows whose shares are added up at a time

layout(push_constant, scalar) uniform Push {
    uint64_t q;        // (tokens, heads, dim)
    uint64_t keys;     // (kv_heads, context, dim)
    uint64_t values;   // (kv_heads, context, dim)
    uint64_t dst;      // (tokens, stride), or with splits (splits, tokens, heads, dim), unscaled
    uint64_t state;    // with splits: (splits, tokens, heads) of maximum and sum
    uint heads;
    uint per_key;      // query heads that share a key head
    uint tokens;
    uint position;     // of the first token
    uint context;
    uint span;         // positions of a split
    uint stride;       // of a token in dst
    float scale;       // 1/√dim
} pc;

layout(buffer_reference, std430, buffer_reference_align = 8) writeonly restrict buffer Vec2Out {
    vec2 v[];
};

shared vec4 query[ROWS * DIM4];
shared float score[ROWS * THREADS]; // (rows, BLOCK, SHARE)
shared float weight[ROWS * BLOCK];  // (rows, BLOCK)
shared float lanes[ROWS * LANES]; // of a row: partial maxima, then sums
shared float highest[ROWS];       // so far
shared float total[ROWS];         // so far
shared float shrink[ROWS];        // what the newest maximum makes of earlier results
shared vec4 part[TOGETHER * THREADS]; // (rows, threads)

#define NONE uintBitsToFloat(0xff800000u) // -infinity

// fetch brings the rows' queries to shared memory, already scaled.
void fetch(uint head0, uint token0) {
    for (uint i = gl_LocalInvocationID.x; i < ROWS * DIM4; i += THREADS) {
        const uint row = i / DIM4, token = token0 + row / HEADS;
        vec4 v = vec4(0.0);
        if (token < pc.tokens)
            v = Vec4In(pc.q).v[(token * pc.heads + head0 + row % HEADS) * DIM4 + i % DIM4];
        query[i] = v * pc.scale;
    }
}

// scores computes a thread's share of one position against all rows.
void scores(uint key0, uint at, uint last) {
    const uint tid = gl_LocalInvocationID.x;
    float s[ROWS];
    [[unroll]] for (uint r = 0; r < ROWS; r++) s[r] = 0.0;
    if (at < last) {
        Vec4In keys = Vec4In(pc.keys);
        for (uint d = tid % SHARE; d < DIM4; d += SHARE) {
            const vec4 k = keys.v[(key0 + at) * DIM4 + d];
            [[unroll]] for (uint r = 0; r < ROWS; r++) s[r] += dot(k, query[r * DIM4 + d]);
        }
    }
    [[unroll]] for (uint r = 0; r < ROWS; r++) score[r * THREADS + tid] = s[r];
}

// weigh turns the scores of a block, whose first position is base, into weights and brings
// maximum and sum up to date. Rows of earlier tokens do not see later positions. LANES
// threads share a row.
void weigh(uint base, uint last, uint token0) {
    const uint tid = gl_LocalInvocationID.x, row = tid / LANES, lane = tid % LANES;
    float top = NONE, sum = 0.0;
    if (row < ROWS) {
        const uint end = min(last, pc.position + token0 + row / HEADS + 1);
        for (uint i = lane; i < BLOCK; i += LANES) {
            float s = 0.0;
            [[unroll]] for (uint j = 0; j < SHARE; j++) s += score[row * THREADS + i * SHARE + j];
            s = base + i < end ? s : NONE;
            weight[row * BLOCK + i] = s;
            top = max(top, s);
        }
        lanes[tid] = top;
    }
    barrier();
    if (row < ROWS) {
        top = highest[row];
        for (uint i = 0; i < LANES; i++) top = max(top, lanes[row * LANES + i]);
    }
    barrier();
    if (row < ROWS) {
        const float from = top == NONE ? 0.0 : top; // a row that has seen nothing yet
        for (uint i = lane; i < BLOCK; i += LANES) {
            const float w = exp(weight[row * BLOCK + i] - from);
            weight[row * BLOCK + i] = w;
            sum += w;
        }
        lanes[tid] = sum;
        if (lane == 0) {
            shrink[row] = exp(highest[row] - from);
            highest[row] = top;
        }
    }
    barrier();
    if (row < ROWS && lane == 0) {
        float t = total[row] * shrink[row];
        for (uint i = 0; i < LANES; i++) t += lanes[row * LANES + i];
        total[row] = t;
    }
}

void main() {
    const uint tid = gl_LocalInvocationID.x;
    const uint head0 = gl_WorkGroupID.x * HEADS, token0 = gl_WorkGroupID.y * TOKENS;
    const uint split = gl_WorkGroupID.z, lane = tid % DIM4, group = tid / DIM4;
    const uint key0 = head0 / pc.per_key * pc.context;
    const uint first = split * pc.span;
    const uint last = min(first + pc.span, pc.position + min(token0 + TOKENS, pc.tokens));
    fetch(head0, token0);
    if (tid < ROWS) {
        highest[tid] = NONE;
        total[tid] = 0.0;
    }
    vec4 acc[ROWS];
    [[unroll]] for (uint r = 0; r < ROWS; r++) acc[r] = vec4(0.0);
    barrier();
    for (uint base = first; base < last; base += BLOCK) {
        scores(key0, base + tid / SHARE, last);
        barrier();
        weigh(base, last, token0);
        [[unroll]] for (uint r = 0; r < ROWS; r++) acc[r] *= shrink[r];
        const uint there = min(BLOCK, last - base);
        Vec4In values = Vec4In(pc.values);
        if (group < GROUPS) {
            for (uint i = group; i < there; i += GROUPS) {
                const vec4 v = values.v[(key0 + base + i) * DIM4 + lane];
                [[unroll]] for (uint r = 0; r < ROWS; r++)
                    acc[r] = fma(vec4(weight[r * BLOCK + i]), v, acc[r]);
            }
        }
        barrier();
    }

    const bool whole = gl_NumWorkGroups.z == 1;
    for (uint r0 = 0; r0 < ROWS; r0 += TOGETHER) { // the groups' shares of the positions, in their order
        [[unroll]] for (uint i = 0; i < ROWS; i++)
            if (i / TOGETHER * TOGETHER == r0) part[i % TOGETHER * THREADS + tid] = acc[i];
        barrier();
        for (uint i = tid; i < TOGETHER * DIM4; i += THREADS) {
            const uint r = r0 + i / DIM4, at = i % DIM4, from = i / DIM4 * THREADS + at;
            if (r >= ROWS) break;
            vec4 v = part[from];
            for (uint g = 1; g < GROUPS; g++) v += part[from + g * DIM4];
            const uint head = head0 + r % HEADS;
            const uint token = token0 + r / HEADS;
            if (token >= pc.tokens) continue;
            if (whole) {
                Vec4Out(pc.dst).v[(token * pc.stride + head * DIM) / 4 + at] = v / total[r];
            } else {
                const uint row = (split * pc.tokens + token) * pc.heads + head;
                Vec4Out(pc.dst).v[row * DIM4 + at] = v;
                if (at == 0) Vec2Out(pc.state).v[row] = vec2(highest[r], total[r]);
            }
        }
        barrier();
    }
}
