#version 460
// Router, second half: softmax over all experts, the top_k of it, ties to the lower id.
// One workgroup a token. Ids may be given instead; then the weights are the softmax of
// the chosen logits.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint THREADS = 64;
layout(constant_id = 1) const uint MAX_EXPERTS = 128; // at least the experts of a layer
const uint MAX_TOP_K = 64;

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
shared float best[THREADS];
shared uint bestId[THREADS];
shared uint chosen[MAX_TOP_K];

// better orders by logit, ties to the lower id.
bool better(float a, uint ia, float b, uint ib) { return a > b || (a == b && ia < ib); }

// largest leaves the best of (best, bestId) over all threads in element 0.
void largest(uint tid) {
    barrier();
    for (uint n = THREADS / 2; n > 0; n /= 2) {
        if (tid < n && better(best[tid + n], bestId[tid + n], best[tid], bestId[tid])) {
            best[tid] = best[tid + n];
            bestId[tid] = bestId[tid + n];
        }
        barrier();
    }
}

void main() {
    const uint tid = gl_LocalInvocationID.x, token = gl_WorkGroupID.x;
    const float none = uintBitsToFloat(0xff800000u); // -infinity
    for (uint e = tid; e < pc.experts; e += THREADS)
        logit[e] = FloatIn(pc.logits).v[token * pc.experts + e];
    barrier();

    float top = none; // the largest logit of all
    for (uint k = 0; k < pc.top_k; k++) {
        float b = none;
        uint id = NO_TOKEN;
        for (uint e = tid; e < pc.experts; e += THREADS) {
            bool taken = false;
            for (uint j = 0; j < k; j++) taken = taken || chosen[j] == e;
            if (!taken && better(logit[e], e, b, id)) { b = logit[e]; id = e; }
        }
        best[tid] = b;
        bestId[tid] = id;
        largest(tid);
        if (k == 0) top = best[0];
        if (tid == 0) chosen[k] = min(bestId[0], pc.experts - 1);
        barrier();
        if (pc.given != 0ul) break; // only the largest logit is of use
    }
    if (pc.given != 0ul) {
        if (tid == 0) // one thread: the lists are short
            for (uint k = 0; k < pc.top_k; k++)
                chosen[k] = min(UintIn(pc.given).v[token * pc.top_k + k], pc.experts - 1);
        barrier();
    }

    float sum = 0.0; // every thread adds up the same few numbers in the same order
    if (pc.normalize != 0 || pc.given != 0ul) {
        for (uint k = 0; k < pc.top_k; k++) sum += exp(logit[chosen[k]] - top);
    } else {
        for (uint e = 0; e < pc.experts; e++) sum += exp(logit[e] - top);
    }
    for (uint k = tid; k < pc.top_k; k += THREADS) {
        UintOut(pc.ids).v[token * pc.top_k + k] = chosen[k];
        FloatIO(pc.weights).v[token * pc.top_k + k] = exp(logit[chosen[k]] - top) / sum;
    }
}
