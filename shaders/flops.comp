#version 460
// Ceiling: float32 fused multiply-adds in registers, without matrix units.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x = 256) in;
const uint CHAINS = 16; // independent sums of vec4 hide the latency of one

layout(push_constant, scalar) uniform Push {
    uint64_t dst;
    uint rounds; // CHAINS · 8 operations each, a thread
    float factor;
} pc;

void main() {
    vec4 v[CHAINS];
    [[unroll]] for (uint i = 0; i < CHAINS; i++) v[i] = vec4(float(i) + pc.factor);
    // Operands that differ by thread stay out of the slower uniform registers.
    const vec4 f = vec4(pc.factor + 1e-6 * float(gl_LocalInvocationID.x)), g = vec4(1.0) - f;
    for (uint r = 0; r < pc.rounds; r++) {
        [[unroll]] for (uint i = 0; i < CHAINS; i++) v[i] = fma(v[i], f, g);
    }
    vec4 x = vec4(0.0);
    [[unroll]] for (uint i = 0; i < CHAINS; i++) x += v[i];
    if (x.x + x.y + x.z + x.w == 1.25) FloatIO(pc.dst).v[gl_LocalInvocationID.x] = x.x;
}
