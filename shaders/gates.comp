#version 460
// Router, first half, for many tokens: logits = x · gateᵀ, as gate.comp.
//
// A workgroup computes SIDE × SIDE logits, a thread 2 × 2 of them, so that either operand is
// read from memory once for SIDE of the other. SPAN of d_model at a time is in shared memory,
// the next on its way; each logit is added up in the order of d_model by one thread.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

const uint SIDE = 32, HALF = SIDE / 2, THREADS = HALF * HALF;
const uint SPAN = 16;      // of vec4
const uint ROW = SPAN + 1; // against bank conflicts
const uint EACH = SIDE * SPAN / THREADS; // of each operand that a thread fetches
layout(local_size_x = THREADS) in;

layout(push_constant, scalar) uniform Push { // as in gate.comp
    uint64_t x;
    uint64_t gate;
    uint64_t logits;
    uint d4;
    uint tokens;
    uint experts;
} pc;

shared vec4 xs[SIDE * ROW];    // (token, SPAN)
shared vec4 gates[SIDE * ROW]; // (expert, SPAN)

// fetch reads a thread's part of SIDE rows from d on; rows and columns past the last are zero.
void fetch(Vec4In from, uint row0, uint rows, uint d, out vec4 v[EACH]) {
    [[unroll]] for (uint i = 0; i < EACH; i++) {
        const uint at = i * THREADS + gl_LocalInvocationID.x;
        const uint row = row0 + at / SPAN, column = d + at % SPAN;
        v[i] = row < rows && column < pc.d4 ? from.v[row * pc.d4 + column] : vec4(0.0);
    }
}

void main() {
    const uint tid = gl_LocalInvocationID.x, te = tid % HALF, tt = tid / HALF;
    const uint e0 = gl_WorkGroupID.x * SIDE, t0 = gl_WorkGroupID.y * SIDE;
    Vec4In x = Vec4In(pc.x), gate = Vec4In(pc.gate);
    vec4 nextX[EACH], nextGate[EACH];
    fetch(x, t0, pc.tokens, 0, nextX);
    fetch(gate, e0, pc.experts, 0, nextGate);
    float sum[4] = float[](0.0, 0.0, 0.0, 0.0); // (token, expert)
    for (uint d = 0; d < pc.d4; d += SPAN) {
        barrier();
        [[unroll]] for (uint i = 0; i < EACH; i++) {
            const uint at = i * THREADS + tid, to = at / SPAN * ROW + at % SPAN;
            xs[to] = nextX[i];
            gates[to] = nextGate[i];
        }
        barrier();
        fetch(x, t0, pc.tokens, d + SPAN, nextX);
        fetch(gate, e0, pc.experts, d + SPAN, nextGate);
        for (uint k = 0; k < SPAN; k++) {
            const vec4 a = xs[tt * ROW + k], b = xs[(tt + HALF) * ROW + k];
            const vec4 g = gates[te * ROW + k], h = gates[(te + HALF) * ROW + k];
            sum[0] += dot(a, g);
            sum[1] += dot(a, h);
            sum[2] += dot(b, g);
            sum[3] += dot(b, h);
        }
    }
    [[unroll]] for (uint i = 0; i < 4; i++) {
        const uint t = t0 + tt + i / 2 * HALF, e = e0 + te + i % 2 * HALF;
        if (t < pc.tokens && e < pc.experts) FloatIO(pc.logits).v[t * pc.experts + e] = sum[i];
    }
}
