#version 460
// The residual stream: h = base + what a block adds to it, and x = RMSNorm(h) · norm, which
// the next block reads. One workgroup a token. Built for each thing that is added:
//
//   EMBED (with F32, F16 or BF16)  the token's row of the embedding; there is no base
//   ATTENTION                      the parts of the output projection, in their order
//   EXPERTS                        Σ weight × expert output, in the order of the top-k
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#include "common.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint THREADS = 256;
layout(constant_id = 1) const uint D = 2048; // d_model padded
layout(constant_id = 2) const uint TOP_K = 8; // EXPERTS
const uint PER = (D + THREADS - 1) / THREADS;
#include "sum.glsl"

layout(push_constant, scalar) uniform Push {
    uint64_t base;     // (tokens, d)
    uint64_t h;        // (tokens, d)
    uint64_t x;        // (tokens, d)
    uint64_t norm;     // (d), zero in the padding
    uint64_t added;    // embedding (d, vocab) as in moe.Layout; (parts, tokens, d); (rows, d)
    uint64_t index;    // EMBED: ids (tokens); EXPERTS: position (tokens, top_k)
    uint64_t weights;  // EXPERTS: (tokens, top_k)
    uint d_model;
    uint n;            // EMBED: outputs of the layout; ATTENTION: parts
    uint tokens;
    float epsilon;
} pc;

#ifdef EXPERTS
shared uint row[TOP_K];
shared float weight[TOP_K];
#endif

#if defined(EMBED) && defined(F32)
float embedded(uint id, uint d) { return FloatIn(pc.added).v[d * pc.n + id]; }
#elif defined(EMBED)
float embedded(uint id, uint d) {
    const uint bits = UintIn(pc.added).v[d / 2 * pc.n + id];
#ifdef F16
    return unpackHalf2x16(bits)[d % 2];
#else
    return uintBitsToFloat(d % 2 == 0 ? bits << 16 : bits & 0xffff0000u);
#endif
}
#endif

// added is element d of what comes on top of the base.
float added(uint token, uint d) {
#if defined(EMBED)
    return embedded(UintIn(pc.index).v[token], d);
#elif defined(ATTENTION)
    float v = 0.0;
    for (uint p = 0; p < pc.n; p++) v += FloatIn(pc.added).v[(p * pc.tokens + token) * D + d];
    return v;
#else
    float v = 0.0;
    [[unroll]] for (uint k = 0; k < TOP_K; k++)
        v = fma(weight[k], FloatIn(pc.added).v[row[k] * D + d], v);
    return v;
#endif
}

void main() {
    const uint tid = gl_LocalInvocationID.x, token = gl_WorkGroupID.x;
    float v[PER], squares = 0.0;
#ifdef EXPERTS
    for (uint k = tid; k < TOP_K; k += THREADS) {
        row[k] = UintIn(pc.index).v[token * TOP_K + k];
        weight[k] = FloatIn(pc.weights).v[token * TOP_K + k];
    }
    barrier();
#endif
    [[unroll]] for (uint i = 0; i < PER; i++) {
        const uint d = i * THREADS + tid;
        if (d < D) {
            v[i] = added(token, d);
#ifndef EMBED
            v[i] += FloatIn(pc.base).v[token * D + d];
#endif
            FloatIO(pc.h).v[token * D + d] = v[i];
            squares = fma(v[i], v[i], squares);
        }
    }
    const float scale = 1.0 / sqrt(sumOfAll(squares) / float(pc.d_model) + pc.epsilon);
    [[unroll]] for (uint i = 0; i < PER; i++) {
        const uint d = i * THREADS + tid;
        if (d < D) FloatIO(pc.x).v[token * D + d] = v[i] * scale * FloatIn(pc.norm).v[d];
    }
}
