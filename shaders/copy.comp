#version 460
// Ceiling: copies within device memory as fast as it goes.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x = 256) in;
const uint LOADS = 16; // of 16 bytes, a thread

layout(push_constant, scalar) uniform Push {
    uint64_t src;
    uint64_t dst;
} pc;

layout(buffer_reference, std430, buffer_reference_align = 16) writeonly restrict buffer UVec4Out {
    uvec4 v[];
};

void main() {
    const uint first = gl_WorkGroupID.x * LOADS * 256 + gl_LocalInvocationID.x;
    UVec4In src = UVec4In(pc.src);
    UVec4Out dst = UVec4Out(pc.dst);
    uvec4 v[LOADS];
    [[unroll]] for (uint i = 0; i < LOADS; i++) v[i] = src.v[first + i * 256];
    [[unroll]] for (uint i = 0; i < LOADS; i++) dst.v[first + i * 256] = v[i];
}
