#version 460
// Combine: a token's output is Σ weight × expert output in the order of its top-k, so that
// it does not depend on which expert ran first. One workgroup a token. Then, in a chain of
// layers, the next layer's input: RMSNorm(x + output), without weights.
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#include "common.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint THREADS = 256;
layout(constant_id = 1) const uint D4 = 512; // d_model padded, in units of four
layout(constant_id = 2) const uint TOP_K = 8;
const uint PER = (D4 + THREADS - 1) / THREADS;
const float EPSILON = 1e-6;
#include "sum.glsl"

layout(push_constant, scalar) uniform Push {
    uint64_t y;        // (rows, d)
    uint64_t position; // (tokens, top_k)
    uint64_t weights;  // (tokens, top_k)
    uint64_t x;        // (tokens, d): what the layer was given
    uint64_t next;     // (tokens, d): the next layer's input, if chained; may be x
    uint64_t moe;      // (tokens, d), or 0: nobody asks for it
    uint d_model;
    uint chained;
} pc;

shared uint row[TOP_K];
shared float weight[TOP_K];

void main() {
    const uint tid = gl_LocalInvocationID.x, token = gl_WorkGroupID.x;
    for (uint k = tid; k < TOP_K; k += THREADS) {
        row[k] = UintIn(pc.position).v[token * TOP_K + k];
        weight[k] = FloatIn(pc.weights).v[token * TOP_K + k];
    }
    barrier();
    vec4 v[PER];
    float squares = 0.0;
    [[unroll]] for (uint i = 0; i < PER; i++) {
        const uint d = min(i * THREADS + tid, D4 - 1);
        v[i] = vec4(0.0);
        [[unroll]] for (uint k = 0; k < TOP_K; k++)
            v[i] = fma(vec4(weight[k]), Vec4In(pc.y).v[row[k] * D4 + d], v[i]);
        if (i * THREADS + tid >= D4) continue;
        if (pc.moe != 0ul) Vec4Out(pc.moe).v[token * D4 + d] = v[i];
        if (pc.chained != 0) {
            v[i] += Vec4IO(pc.x).v[token * D4 + d];
            squares += dot(v[i], v[i]);
        }
    }
    if (pc.chained == 0) return;
    const float scale = 1.0 / sqrt(sumOfAll(squares) / float(pc.d_model) + EPSILON);
    [[unroll]] for (uint i = 0; i < PER; i++) {
        const uint d = i * THREADS + tid;
        if (d < D4) Vec4IO(pc.next).v[token * D4 + d] = v[i] * scale;
    }
}
