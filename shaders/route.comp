#version 460
// Everything between the output projection and the experts for a single token, which would
// otherwise be five dispatches of next to no work: the residual stream, its norm, the gate's
// logits, top-k, and the plan of the experts' products.
//
//   every workgroup: h + parts, norm, EACH logits ──┐ an atomic counts them
//   the last of them: top-k of all logits, weights, tiles ◄┘
//
// A token has one row in each of its experts, so the gathered inputs, (top_k, d) of vec4 with
// one row in use, do not depend on the choice: the first workgroups write them.
//
// Built for two kinds of models: with TEXT as told; else for layers alone, whose input has a
// norm already, so that everything before the logits falls away.
//
// With two planes of logits the gate is followed in memory by the next layer's: the second
// choice is a prediction, of which only the ids are kept.
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#include "common.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint THREADS = 512;
layout(constant_id = 1) const uint D4 = 512;       // d_model padded, in units of four
layout(constant_id = 2) const uint EXPERTS = 128;  // of a layer
layout(constant_id = 3) const uint TOP_K = 8;
const uint EACH = 4; // logits of a workgroup
const uint MAX_PARTS = 8;
const uint PER = (D4 + THREADS - 1) / THREADS;
#include "sum.glsl"

layout(buffer_reference, std430, buffer_reference_align = 4) coherent buffer FloatShared {
    float v[];
};
layout(buffer_reference, std430, buffer_reference_align = 4) coherent buffer Counter {
    uint done;
};
layout(buffer_reference, scalar, buffer_reference_align = 8) readonly restrict buffer Slots {
    uint64_t address[]; // (experts)
};
struct Tile { // as in expert.comp
    uint64_t slot;
    uint quad;
    uint rows;
};
layout(buffer_reference, scalar, buffer_reference_align = 16) writeonly restrict buffer Tiles {
    Tile v[];
};

// Route is what does not change from token to token.
layout(buffer_reference, scalar, buffer_reference_align = 8) readonly restrict buffer Route {
    uint64_t base;      // (d): the residual stream
    uint64_t added;     // (parts, d)
    uint64_t norm;      // (d)
    uint64_t gate;      // (planes, experts, d)
    uint64_t h;         // (d): the residual stream from here on
    uint64_t x;         // (d)
    uint64_t gathered;  // (top_k, d) of vec4
    uint64_t logits;    // (planes, experts)
    uint64_t counter;
    uint64_t ids;       // (top_k)
    uint64_t weights;   // (top_k)
    uint64_t counts;    // (experts): rows of each, for the host
    uint64_t position;  // (top_k): row of each
    uint64_t tiles;     // (top_k)
    uint64_t slots;     // Slots of this layer
    uint64_t predicted; // (top_k)
};

layout(push_constant, scalar) uniform Push {
    uint64_t route;
    uint64_t given;  // (top_k) ids that replace the choice, or 0
    uint64_t layer;  // (d): what a layer alone is given
    uint parts;
    uint planes;     // 1, or 2 with a prediction
    uint planned;    // write tiles: every expert is resident
    uint normalize;  // the chosen probabilities add up to 1
    uint d_model;
    float epsilon;
} pc;

shared float partial[EACH * THREADS]; // (logit, THREADS), of which subgroups use the first
shared float logit[EXPERTS];
shared uint key[EXPERTS];
shared uint chosen[TOP_K];
shared float best;
shared bool last;

// better orders by logit, ties to the lower id.
bool better(uint a, uint ia, uint b, uint ib) { return a > b || (a == b && ia < ib); }

// choose finds a plane's top-k: an expert's rank is the number of those better than it.
void choose(Route r, uint plane) {
    const uint tid = gl_LocalInvocationID.x;
    FloatShared logits = FloatShared(r.logits);
    barrier();
    for (uint e = tid; e < EXPERTS; e += THREADS) {
        logit[e] = logits.v[plane * EXPERTS + e];
        key[e] = order(logit[e]);
    }
    barrier();
    for (uint e = tid; e < EXPERTS; e += THREADS) {
        const uint own = key[e];
        uint rank = 0;
        for (uint j = 0; j < EXPERTS; j++) rank += better(key[j], j, own, e) ? 1 : 0;
        if (rank == 0) best = logit[e];
        if (rank < TOP_K) chosen[rank] = e;
    }
    barrier();
}

// plan writes what the experts' kernels and the combination need of the choice.
void plan(Route r) {
    const uint tid = gl_LocalInvocationID.x;
    if (pc.given != 0ul) {
        barrier();
        for (uint k = tid; k < TOP_K; k += THREADS)
            chosen[k] = min(UintIn(pc.given).v[k], EXPERTS - 1);
    }
    barrier();
    for (uint e = tid; e < EXPERTS; e += THREADS) {
        uint rows = 0;
        for (uint k = 0; k < TOP_K; k++) rows += chosen[k] == e ? 1 : 0;
        UintOut(r.counts).v[e] = rows;
    }
    for (uint k = tid; k < TOP_K; k += THREADS) {
        const uint e = chosen[k];
        float sum = 0.0; // every thread adds up the same numbers in the same order
        if (pc.normalize != 0 || pc.given != 0ul) {
            for (uint j = 0; j < TOP_K; j++) sum += exp(logit[chosen[j]] - best);
        } else {
            for (uint j = 0; j < EXPERTS; j++) sum += exp(logit[j] - best);
        }
        uint quad = 0; // experts ascend
        for (uint j = 0; j < TOP_K; j++) quad += chosen[j] < e ? 1 : 0;
        UintOut(r.ids).v[k] = e;
        FloatIO(r.weights).v[k] = exp(logit[e] - best) / sum;
        UintOut(r.position).v[k] = 4 * quad;
        if (pc.planned != 0) {
            Tiles tiles = Tiles(r.tiles);
            tiles.v[quad].slot = Slots(r.slots).address[e];
            tiles.v[quad].quad = quad;
            tiles.v[quad].rows = 1;
        }
    }
}

void main() {
    const uint tid = gl_LocalInvocationID.x, group = gl_WorkGroupID.x;
    Route r = Route(pc.route);
    const uint e0 = group * EACH;
    vec4 gate[EACH * PER]; // asked for before all else, for it comes from far away
    [[unroll]] for (uint i = 0; i < PER; i++)
        [[unroll]] for (uint e = 0; e < EACH; e++)
            gate[i * EACH + e] = Vec4In(r.gate).v[min(e0 + e, pc.planes * EXPERTS - 1) * D4
                                                  + min(i * THREADS + tid, D4 - 1)];
    vec4 v[PER];
#ifdef TEXT
    float squares = 0.0;
    [[unroll]] for (uint i = 0; i < PER; i++) {
        const uint d = i * THREADS + tid;
        v[i] = vec4(0.0);
        if (d < D4) {
            [[unroll]] for (uint p = 0; p < MAX_PARTS; p++) { // all loads at once
                const vec4 part = Vec4In(r.added).v[min(p, pc.parts - 1) * D4 + d];
                v[i] += p < pc.parts ? part : vec4(0.0);
            }
            v[i] += Vec4In(r.base).v[d];
            if (group == 0) Vec4Out(r.h).v[d] = v[i];
        }
        squares += dot(v[i], v[i]);
    }
    const float scale = 1.0 / sqrt(sumOfAll(squares) / float(pc.d_model) + pc.epsilon);
#endif

    float sum[EACH];
    [[unroll]] for (uint e = 0; e < EACH; e++) sum[e] = 0.0;
    [[unroll]] for (uint i = 0; i < PER; i++) {
        const uint d = i * THREADS + tid;
        if (d < D4) {
#ifdef TEXT
            v[i] = v[i] * scale * Vec4In(r.norm).v[d];
            if (group == 0) Vec4Out(r.x).v[d] = v[i];
#else
            v[i] = Vec4In(pc.layer).v[d];
#endif
            [[unroll]] for (uint e = 0; e < EACH; e++) sum[e] += dot(v[i], gate[i * EACH + e]);
            for (uint quad = group; quad < TOP_K; quad += gl_NumWorkGroups.x)
                [[unroll]] for (uint c = 0; c < 4; c++)
                    Vec4Out(r.gathered).v[(quad * D4 + d) * 4 + c] = vec4(v[i][c], 0.0, 0.0, 0.0);
        }
    }
    [[unroll]] for (uint e = 0; e < EACH; e++) {
        const float part = subgroupAdd(sum[e]);
        if (subgroupElect()) partial[e * THREADS + gl_SubgroupID] = part;
    }
    barrier();
    if (tid < EACH && e0 + tid < pc.planes * EXPERTS) {
        float all = 0.0;
        for (uint i = 0; i < gl_NumSubgroups; i++) all += partial[tid * THREADS + i];
        FloatShared(r.logits).v[e0 + tid] = all;
    }
    memoryBarrierBuffer();
    barrier();
    if (tid == 0) last = atomicAdd(Counter(r.counter).done, 1) + 1 == gl_NumWorkGroups.x;
    barrier();
    if (!last) return;
    memoryBarrierBuffer();
    if (tid == 0) Counter(r.counter).done = 0; // for the next layer
    if (pc.planes > 1) {
        choose(r, 1);
        for (uint k = tid; k < TOP_K; k += THREADS) UintOut(r.predicted).v[k] = chosen[k];
    }
    choose(r, 0);
    plan(r);
}
