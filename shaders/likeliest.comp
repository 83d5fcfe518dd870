#version 460
// The likeliest token: that of the highest logit, of equals the first. Every workgroup looks
// through its share, the last one through what all have found. A logit that is not finite comes
// before all: then no token is the likeliest.
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#include "common.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint THREADS = 256;
const uint NONE = 0xffffffffu;
const uint ODD = 0x80000000u; // with the first token whose logit is not finite

// Peak is the best of some logits.
struct Peak {
    uint height; // order of the logit
    uint token;
    uint odd;    // the first whose logit is not finite, or NONE
};
layout(buffer_reference, scalar, buffer_reference_align = 4) coherent buffer Peaks {
    uint done; // workgroups; zero between dispatches
    Peak v[];  // (workgroups)
};

layout(push_constant, scalar) uniform Push {
    uint64_t logits; // (vocab)
    uint64_t peaks;
    uint64_t dst;    // the token, or ODD with one
    uint vocab;
} pc;

shared Peak found[THREADS]; // of the subgroups, of which there may be as many as threads
shared bool last;

Peak better(Peak a, Peak b) {
    const bool other = b.height > a.height || (b.height == a.height && b.token < a.token);
    return Peak(other ? b.height : a.height, other ? b.token : a.token, min(a.odd, b.odd));
}

// ofAll is the best of every thread's own, for all of them.
Peak ofAll(Peak own) {
    const uint height = subgroupMax(own.height);
    const uint token = subgroupMin(own.height == height ? own.token : NONE);
    const uint odd = subgroupMin(own.odd);
    barrier(); // those of an earlier call have been read
    if (subgroupElect()) found[gl_SubgroupID] = Peak(height, token, odd);
    barrier();
    Peak best = found[0];
    for (uint i = 1; i < gl_NumSubgroups; i++) best = better(best, found[i]);
    return best;
}

void main() {
    const uint tid = gl_LocalInvocationID.x;
    Peak own = Peak(0, NONE, NONE);
    for (uint i = gl_GlobalInvocationID.x; i < pc.vocab; i += THREADS * gl_NumWorkGroups.x) {
        const float v = FloatIn(pc.logits).v[i];
        const bool odd = (floatBitsToUint(v) & 0x7f800000u) == 0x7f800000u; // isnan may be folded
        own = better(own, Peak(order(v), i, odd ? i : NONE));
    }
    own = ofAll(own);
    Peaks peaks = Peaks(pc.peaks);
    if (tid == 0) {
        peaks.v[gl_WorkGroupID.x] = own;
        memoryBarrierBuffer();
        last = atomicAdd(peaks.done, 1) + 1 == gl_NumWorkGroups.x;
        if (last) peaks.done = 0;
        memoryBarrierBuffer();
    }
    barrier();
    if (!last) return;
    memoryBarrierBuffer(); // the others' peaks, for all threads
    own = Peak(0, NONE, NONE);
    for (uint i = tid; i < gl_NumWorkGroups.x; i += THREADS) own = better(own, peaks.v[i]);
    own = ofAll(own);
    if (tid == 0) UintOut(pc.dst).v[0] = own.odd != NONE ? ODD | own.odd : own.token;
}
