#version 460
// Causal attention of a batch: softmax(q · kᵀ / √dim) · v, in one pass over the cache; see
// attention.glsl. Where few tokens have a long past, gl_NumWorkGroups.z splits share it and
// merge.comp puts their results together.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint THREADS = 64;
layout(constant_id = 1) const uint DIM = 128;   // of a head, a multiple of 4
layout(constant_id = 2) const uint HEADS = 4;
layout(constant_id = 3) const uint TOKENS = 1;
layout(constant_id = 4) const uint SHARE = 4;   // divides THREADS

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

#include "attention.glsl"

shared vec4 part[TOGETHER * THREADS]; // (rows, threads)

vec4 keyOf(uint64_t keys, uint at, uint i) { return Vec4In(keys).v[i]; }
vec4 valueOf(uint64_t values, uint at, uint i) { return Vec4In(values).v[i]; }

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

void main() {
    const uint tid = gl_LocalInvocationID.x;
    const uint head0 = gl_WorkGroupID.x * HEADS, token0 = gl_WorkGroupID.y * TOKENS;
    const uint split = gl_WorkGroupID.z, first = split * pc.span;
    const uint last = min(first + pc.span, pc.position + min(token0 + TOKENS, pc.tokens));
    fetch(head0, token0);
    vec4 acc[ROWS];
    past(pc.keys, pc.values, head0 / pc.per_key * pc.context, first, last, token0, acc);

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
            const uint head = head0 + r % HEADS, token = token0 + r / HEADS;
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
