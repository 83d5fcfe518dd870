#version 460
// Router, second half: softmax over all experts, the top_k of it, ties to the lower id.
// One workgroup a token. Ids may be given instead; then the weights are the softmax of
// the chosen logits.
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#include "common.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint THREADS = 64;
layout(constant_id = 1) const uint MAX_EXPERTS = 128; // at least the experts of a layer
const uint MAX_TOP_K = 64;
#include "sum.glsl"

layout(push_constant, scalar) uniform Push {
    uint64_t logits;  // (tokens, experts)
    uint64_t given;   // (tokens, top_k) ids that replace the choice, or 0
    uint64_t ids;     // (tokens, top_k)
    uint64_t weights; // (tokens, top_k)
    uint experts;
    uint top_k;
    uint normalize;   // the chosen probabilities add up to 1
} pc;

shared float logit[MAX_EXPERTS];
shared uint key[MAX_EXPERTS];
shared float best;
shared uint chosen[MAX_TOP_K];

void main() {
    const uint tid = gl_LocalInvocationID.x, token = gl_WorkGroupID.x;
    for (uint e = tid; e < pc.experts; e += THREADS) {
        logit[e] = FloatIn(pc.logits).v[token * pc.experts + e];
        key[e] = order(logit[e]);
    }
    barrier();
    // An expert's rank is the number of those better than it.
    for (uint e = tid; e < pc.experts; e += THREADS) {
        const uint own = key[e];
        uint rank = 0;
        for (uint j = 0; j < pc.experts; j++)
            rank += key[j] > own || (key[j] == own && j < e) ? 1 : 0;
        if (rank == 0) best = logit[e];
        if (rank < pc.top_k) chosen[rank] = e;
    }
    barrier();
    if (pc.given != 0ul) {
        for (uint k = tid; k < pc.top_k; k += THREADS)
            chosen[k] = min(UintIn(pc.given).v[token * pc.top_k + k], pc.experts - 1);
        barrier();
    }
    float sum = 0.0;
    if (pc.normalize != 0 || pc.given != 0ul) { // every thread adds up the same few numbers
        for (uint k = 0; k < pc.top_k; k++) sum += exp(logit[chosen[k]] - best);
    } else {
        float own = 0.0;
        for (uint e = tid; e < pc.experts; e += THREADS) own += exp(logit[e] - best);
        sum = sumOfAll(own);
    }
    for (uint k = tid; k < pc.top_k; k += THREADS) {
        UintOut(pc.ids).v[token * pc.top_k + k] = chosen[k];
        FloatIO(pc.weights).v[token * pc.top_k + k] = exp(logit[chosen[k]] - best) / sum;
    }
}
