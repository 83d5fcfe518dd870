#version 460
// Combine: a token's output is Σ weight × expert output in the order of its top-k, so that
// it does not depend on which expert ran first. One workgroup a token. Then, in a chain of
// layers, the next layer's input: RMSNorm(x + output), without weights.
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#include "common.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint THREADS = 128;
const float EPSILON = 1e-6;
#include "sum.glsl"

layout(push_constant, scalar) uniform Push {
    uint64_t y;        // (rows, d)
    uint64_t position; // (tokens, top_k)
    uint64_t weights;  // (tokens, top_k)
    uint64_t x;        // (tokens, d): what the layer was given
    uint64_t next;     // (tokens, d): the next layer's input, if chained; may be x
    uint64_t moe;      // (tokens, d)
    uint d4;           // d_model padded, in units of four
    uint d_model;
    uint top_k;
    uint chained;
} pc;

void main() {
    const uint tid = gl_LocalInvocationID.x, token = gl_WorkGroupID.x;
    Vec4In y = Vec4In(pc.y);
    Vec4IO x = Vec4IO(pc.x), next = Vec4IO(pc.next);
    float squares = 0.0;
    for (uint d = tid; d < pc.d4; d += THREADS) {
        vec4 v = vec4(0.0);
        for (uint k = 0; k < pc.top_k; k++) {
            const uint row = UintIn(pc.position).v[token * pc.top_k + k];
            const float w = FloatIn(pc.weights).v[token * pc.top_k + k];
            v = fma(vec4(w), y.v[row * pc.d4 + d], v);
        }
        Vec4Out(pc.moe).v[token * pc.d4 + d] = v;
        if (pc.chained != 0) {
            v += x.v[token * pc.d4 + d];
            next.v[token * pc.d4 + d] = v;
            squares += dot(v, v);
        }
    }
    if (pc.chained == 0) return;
    const float scale = 1.0 / sqrt(sumOfAll(squares) / float(pc.d_model) + EPSILON);
    for (uint d = tid; d < pc.d4; d += THREADS) next.v[token * pc.d4 + d] *= scale;
}
