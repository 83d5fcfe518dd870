#version 460
// Router, first half, for many tokens: logits = x · gateᵀ, as gate.comp.
//
// A workgroup computes TOKENS × EXPERTS logits, a thread 2 × 2 of them over half of d_model,
// so that either operand is read from memory once for many of the other. SPAN of d_model at
// a time is in shared memory, the next on its way.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

const uint TOKENS = 16, EXPERTS = 32;
const uint PARTS = 2; // of a SPAN: threads that share four logits
const uint THREADS = PARTS * TOKENS / 2 * EXPERTS / 2;
const uint SPAN = 16;      // of vec4
const uint ROW = SPAN + 1; // against bank conflicts
const uint EACH = (TOKENS + EXPERTS) * SPAN / THREADS; // that a thread fetches
layout(local_size_x = THREADS) in;

layout(push_constant, scalar) uniform Push { // as in gate.comp
    uint64_t x;
    uint64_t gate;
    uint64_t logits;
    uint d4;
    uint tokens;
    uint experts;
} pc;

shared vec4 rows[(TOKENS + EXPERTS) * ROW]; // of tokens, then of experts: (row, SPAN)
shared vec4 sums[THREADS / PARTS];

// fetch reads a thread's part of the rows from d on; what is past the last is zero.
void fetch(uint t0, uint e0, uint d, out vec4 v[EACH]) {
    [[unroll]] for (uint i = 0; i < EACH; i++) {
        const uint at = i * THREADS + gl_LocalInvocationID.x, row = at / SPAN, k = d + at % SPAN;
        v[i] = vec4(0.0);
        if (row < TOKENS) {
            if (t0 + row < pc.tokens && k < pc.d4) v[i] = Vec4In(pc.x).v[(t0 + row) * pc.d4 + k];
        } else {
            const uint e = e0 + row - TOKENS;
            if (e < pc.experts && k < pc.d4) v[i] = Vec4In(pc.gate).v[e * pc.d4 + k];
        }
    }
}

void main() {
    const uint tid = gl_LocalInvocationID.x, part = tid / (THREADS / PARTS), own = tid % (THREADS / PARTS);
    const uint te = own % (EXPERTS / 2), tt = own / (EXPERTS / 2);
    const uint e0 = gl_WorkGroupID.x * EXPERTS, t0 = gl_WorkGroupID.y * TOKENS;
    vec4 next[EACH], after[EACH];
    fetch(t0, e0, 0, next);
    fetch(t0, e0, SPAN, after);
    vec4 sum = vec4(0.0); // (token, expert)
    for (uint d = 0; d < pc.d4; d += SPAN) {
        barrier();
        [[unroll]] for (uint i = 0; i < EACH; i++) {
            const uint at = i * THREADS + tid;
            rows[at / SPAN * ROW + at % SPAN] = next[i];
            next[i] = after[i];
        }
        barrier();
        fetch(t0, e0, d + 2 * SPAN, after);
        [[unroll]] for (uint i = 0; i < SPAN / PARTS; i++) {
            const uint k = part * (SPAN / PARTS) + i;
            const vec4 a = rows[tt * ROW + k], b = rows[(tt + TOKENS / 2) * ROW + k];
            const vec4 g = rows[(TOKENS + te) * ROW + k];
            const vec4 h = rows[(TOKENS + te + EXPERTS / 2) * ROW + k];
            sum += vec4(dot(a, g), dot(a, h), dot(b, g), dot(b, h));
        }
    }
    if (part == 1) sums[own] = sum;
    barrier();
    if (part == 1) return;
    sum += sums[own];
    [[unroll]] for (uint i = 0; i < 4; i++) {
        const uint t = t0 + tt + i / 2 * (TOKENS / 2), e = e0 + te + i % 2 * (EXPERTS / 2);
        if (t < pc.tokens && e < pc.experts) FloatIO(pc.logits).v[t * pc.experts + e] = sum[i];
    }
}
