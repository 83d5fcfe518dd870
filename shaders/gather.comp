#version 460
// Gathering: copies the rows of each quad side by side, so that an expert kernel reads
// the inputs of four rows as one vec4. Layout of the result: (quad, d) of vec4.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint THREADS = 128;

layout(push_constant, scalar) uniform Push {
    uint64_t x;        // (tokens, d)
    uint64_t rows;     // (4 · quads)
    uint64_t gathered; // (quads, d) of vec4
    uint d;            // d_model padded
} pc;

void main() {
    const uint d = gl_WorkGroupID.x * THREADS + gl_LocalInvocationID.x, quad = gl_WorkGroupID.y;
    UintIn rows = UintIn(pc.rows);
    if (d >= pc.d || rows.v[4 * quad] == NO_TOKEN) return;
    vec4 v = vec4(0.0);
    [[unroll]] for (uint i = 0; i < 4; i++) {
        uint token = rows.v[4 * quad + i];
        if (token != NO_TOKEN) v[i] = FloatIn(pc.x).v[token * pc.d + d];
    }
    Vec4Out(pc.gathered).v[quad * pc.d + d] = v;
}
