#version 460
// Puts together what the splits of attend.comp left: Σ e^(m - top) · acc / Σ e^(m - top) · sum,
// in the order of the splits. One workgroup a head and token.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint THREADS = 64;

layout(buffer_reference, std430, buffer_reference_align = 8) readonly restrict buffer Vec2In {
    vec2 v[];
};

layout(push_constant, scalar) uniform Push {
    uint64_t acc;    // (splits, tokens, heads, dim)
    uint64_t state;  // (splits, tokens, heads) of maximum and sum
    uint64_t dst;    // (tokens, stride)
    uint splits;
    uint tokens;
    uint heads;
    uint dim;
    uint stride;     // of a token in dst
} pc;

void main() {
    const uint head = gl_WorkGroupID.x, token = gl_WorkGroupID.y;
    const uint rows = pc.tokens * pc.heads, row = token * pc.heads + head;
    Vec2In state = Vec2In(pc.state);
    float top = uintBitsToFloat(0xff800000u); // -infinity
    for (uint s = 0; s < pc.splits; s++) top = max(top, state.v[s * rows + row].x);
    float total = 0.0;
    for (uint s = 0; s < pc.splits; s++) {
        const vec2 of = state.v[s * rows + row];
        total = fma(exp(of.x - top), of.y, total);
    }
    for (uint d = gl_LocalInvocationID.x; d < pc.dim; d += THREADS) {
        float v = 0.0;
        for (uint s = 0; s < pc.splits; s++) {
            const uint at = s * rows + row;
            v = fma(exp(state.v[at].x - top), FloatIn(pc.acc).v[at * pc.dim + d], v);
        }
        FloatIO(pc.dst).v[token * pc.stride + head * pc.dim + d] = v / total;
    }
}
