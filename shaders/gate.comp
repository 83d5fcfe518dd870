#version 460
// Router, first half: logits = x · gateᵀ.
//
// A workgroup computes TOKENS × EXPERTS logits; its threads split d_model and add up
// through shared memory in a fixed order. Both operands are read TOKENS or EXPERTS
// times less often than by one workgroup a logit.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint THREADS = 128;
layout(constant_id = 1) const uint TOKENS = 4;
const uint EXPERTS = 4;
const uint LOGITS = TOKENS * EXPERTS;

layout(push_constant, scalar) uniform Push {
    uint64_t x;      // (tokens, d4 vec4)
    uint64_t gate;   // (experts, d4 vec4)
    uint64_t logits; // (tokens, experts)
    uint d4;         // d_model padded, in units of four
    uint tokens;
    uint experts;
} pc;

shared float partial[LOGITS * THREADS];

void main() {
    const uint tid = gl_LocalInvocationID.x;
    const uint e0 = gl_WorkGroupID.x * EXPERTS, t0 = gl_WorkGroupID.y * TOKENS;
    Vec4In x = Vec4In(pc.x);
    Vec4In gate = Vec4In(pc.gate);

    float sum[LOGITS];
    [[unroll]] for (uint i = 0; i < LOGITS; i++) sum[i] = 0.0;
    for (uint d = tid; d < pc.d4; d += THREADS) {
        vec4 w[EXPERTS];
        [[unroll]] for (uint e = 0; e < EXPERTS; e++)
            w[e] = gate.v[min(e0 + e, pc.experts - 1) * pc.d4 + d];
        [[unroll]] for (uint t = 0; t < TOKENS; t++) {
            vec4 v = x.v[min(t0 + t, pc.tokens - 1) * pc.d4 + d];
            [[unroll]] for (uint e = 0; e < EXPERTS; e++) sum[t * EXPERTS + e] += dot(v, w[e]);
        }
    }
    [[unroll]] for (uint i = 0; i < LOGITS; i++) partial[i * THREADS + tid] = sum[i];
    barrier();
    for (uint half_ = THREADS / 2; half_ > 0; half_ /= 2) {
        for (uint i = tid; i < LOGITS * half_; i += THREADS) {
            uint at = i / half_ * THREADS + i % half_;
            partial[at] += partial[at + half_];
        }
        barrier();
    }
    if (tid < LOGITS) {
        uint t = t0 + tid / EXPERTS, e = e0 + tid % EXPERTS;
        if (t < pc.tokens && e < pc.experts)
            FloatIO(pc.logits).v[t * pc.experts + e] = partial[tid * THREADS];
    }
}
