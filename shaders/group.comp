#version 460
// Grouping: gives every (token, k) a row among the rows of its expert. One workgroup.
//
// Rows come in quads of four; the quads of an expert are contiguous, experts ascend.
// The order of rows inside an expert is not fixed and need not be: a row's arithmetic
// is the same wherever it stands.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint THREADS = 256;
layout(constant_id = 1) const uint MAX_EXPERTS = 128;

layout(push_constant, scalar) uniform Push {
    uint64_t ids;      // (tokens · top_k)
    uint64_t counts;   // (experts): rows of each, for the host
    uint64_t rows;     // (4 · quads): token of each row or NO_TOKEN
    uint64_t position; // (tokens · top_k): row of each
    uint choices;      // tokens · top_k
    uint top_k;
    uint experts;
    uint quads;        // most that can occur
} pc;

shared uint count[MAX_EXPERTS];
shared uint next[MAX_EXPERTS]; // the expert's next free row

void main() {
    const uint tid = gl_LocalInvocationID.x;
    UintIn ids = UintIn(pc.ids);
    for (uint e = tid; e < pc.experts; e += THREADS) count[e] = 0;
    for (uint r = tid; r < 4 * pc.quads; r += THREADS) UintOut(pc.rows).v[r] = NO_TOKEN;
    barrier();
    for (uint i = tid; i < pc.choices; i += THREADS) atomicAdd(count[ids.v[i]], 1);
    memoryBarrierBuffer();
    barrier();
    if (tid == 0) {
        uint row = 0;
        for (uint e = 0; e < pc.experts; e++) {
            next[e] = row;
            row += (count[e] + 3) / 4 * 4;
        }
    }
    barrier();
    for (uint e = tid; e < pc.experts; e += THREADS) UintOut(pc.counts).v[e] = count[e];
    for (uint i = tid; i < pc.choices; i += THREADS) {
        uint row = atomicAdd(next[ids.v[i]], 1);
        UintOut(pc.rows).v[row] = i / pc.top_k;
        UintOut(pc.position).v[i] = row;
    }
}
