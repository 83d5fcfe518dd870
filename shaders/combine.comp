#version 460
// Combine: a token's output is Σ weight × expert output in the order of its top-k, so that
// it does not depend on which expert ran first. One workgroup a token. Then, in a chain of
// layers, the next layer's input: RMSNorm(x + output), without weights.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint THREADS = 128;
const float EPSILON = 1e-6;

layout(push_constant, scalar) uniform Push {
    uint64_t y;        // (quads, d) of vec4
    uint64_t position; // (tokens, top_k)
    uint64_t weights;  // (tokens, top_k)
    uint64_t x;        // (tokens, d): what the layer was given
    uint64_t next;     // (tokens, d): the next layer's input, if chained; may be x
    uint64_t moe;      // (tokens, d)
    uint d;            // d_model padded
    uint d_model;
    uint top_k;
    uint chained;
} pc;

shared float partial[THREADS];

void main() {
    const uint tid = gl_LocalInvocationID.x, token = gl_WorkGroupID.x;
    FloatIn y = FloatIn(pc.y);
    FloatIO x = FloatIO(pc.x), next = FloatIO(pc.next);
    float squares = 0.0;
    for (uint d = tid; d < pc.d; d += THREADS) {
        float v = 0.0;
        for (uint k = 0; k < pc.top_k; k++) {
            uint row = UintIn(pc.position).v[token * pc.top_k + k];
            float w = FloatIn(pc.weights).v[token * pc.top_k + k];
            v = fma(w, y.v[(row / 4 * pc.d + d) * 4 + row % 4], v);
        }
        FloatIO(pc.moe).v[token * pc.d + d] = v;
        if (pc.chained != 0) {
            v += x.v[token * pc.d + d];
            next.v[token * pc.d + d] = v;
            squares += v * v;
        }
    }
    if (pc.chained == 0) return;
    partial[tid] = squares;
    barrier();
    for (uint n = THREADS / 2; n > 0; n /= 2) {
        if (tid < n) partial[tid] += partial[tid + n];
        barrier();
    }
    const float scale = 1.0 / sqrt(partial[0] / float(pc.d_model) + EPSILON);
    for (uint d = tid; d < pc.d; d += THREADS) next.v[token * pc.d + d] *= scale;
}
