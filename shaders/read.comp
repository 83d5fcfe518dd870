#version 460
// Ceiling: reads device memory as fast as it goes. The exclusive-or keeps the loads alive.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x = 256) in;
const uint LOADS = 16; // of 16 bytes, a thread

layout(push_constant, scalar) uniform Push {
    uint64_t src;
    uint64_t dst;
} pc;

void main() {
    const uint first = gl_WorkGroupID.x * LOADS * 256 + gl_LocalInvocationID.x;
    UVec4In src = UVec4In(pc.src);
    uvec4 v[LOADS];
    [[unroll]] for (uint i = 0; i < LOADS; i++) v[i] = src.v[first + i * 256];
    uvec4 x = uvec4(0);
    [[unroll]] for (uint i = 0; i < LOADS; i++) x ^= v[i];
    const uint word = x.x ^ x.y ^ x.z ^ x.w;
    if (word == 0x5bd1e995u) UintOut(pc.dst).v[gl_LocalInvocationID.x] = word;
}
