#version 460
// Gathering: copies the rows of each quad side by side, as the expert kernels read them: for
// expert.comp the inputs of four rows are one vec4, (quad, d) of vec4; with PARTS, for
// matrix.comp, rows are in parts of bfloat16, as parts.glsl lays them out.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#ifdef PARTS
#include "parts.glsl"
#endif

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint THREADS = 128;

layout(push_constant, scalar) uniform Push {
    uint64_t x;        // (tokens, d)
    uint64_t rows;     // (4 · quads), as group.comp leaves them
    uint64_t gathered;
    uint d;            // d_model padded
} pc;

// inputOfRows is input k of the four rows of a quad.
vec4 inputOfRows(uint row[4], uint k) {
    vec4 v = vec4(0.0);
    [[unroll]] for (uint i = 0; i < 4; i++)
        if (row[i] != NO_TOKEN && k < pc.d)
            v[i] = FloatIn(pc.x).v[(row[i] & ~ROUNDED_ROW) * pc.d + k];
    return v;
}

void main() {
    const uint i = gl_WorkGroupID.x * THREADS + gl_LocalInvocationID.x, quad = gl_WorkGroupID.y;
    uint row[4];
    [[unroll]] for (uint r = 0; r < 4; r++) row[r] = UintIn(pc.rows).v[4 * quad + r];
    if (row[0] == NO_TOKEN) return;
#ifdef PARTS
    const uint step_ = i / 4, t = i % 4;
    if (step_ * 16 >= pc.d) return;
    vec4 v[4];
    [[unroll]] for (uint j = 0; j < 4; j++) v[j] = inputOfRows(row, step_ * 16 + inputOf(t, j));
    UVec4Out to = UVec4Out(pc.gathered);
    if ((row[0] & ROUNDED_ROW) != 0) storeParts(to, quad, step_, t, v, 1, pc.d);
    else storeParts(to, quad, step_, t, v, MAX_PARTS, pc.d);
#else
    if (i < pc.d) Vec4Out(pc.gathered).v[quad * pc.d + i] = inputOfRows(row, i);
#endif
}
