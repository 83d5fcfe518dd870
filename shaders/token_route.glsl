// The router of one token, and the end of a layer alone.
//
//   every group: h + parts of attention, norm, EACH logits ──┐ an atomic counts them
//   the last of them: top-k of all logits, weights          ◄┘
//
// Where the experts follow at once, DEFERRED, every workgroup of theirs finds the top-k itself.
//
// With a prediction there are two planes of logits: the gate is followed in memory by the next
// layer's, and of the second choice only the ids are kept.

const uint EACH = 4; // logits of a group

layout(buffer_reference, scalar, buffer_reference_align = 8) readonly restrict buffer Slots {
    uint64_t address[]; // (experts)
};

struct Route {
    uint kind, groups;
    uint64_t gate;       // (planes, experts, d)
    uint64_t given;      // (top_k): ids that replace the choice, with GIVEN
    uint64_t slots;      // Slots
    uint64_t base;       // (d): the residual stream; of a layer alone its input when chained
    uint64_t alone;      // (d): its input when not chained; 0 in a text
    uint64_t added;      // (parts, d): what attention adds
    uint64_t norm;       // (d)
    uint64_t h;          // (d): the residual stream from here on
    uint64_t x;          // (d): the experts' input
    uint64_t logits;     // (planes, experts)
    uint64_t counter;
    uint64_t weights;    // (top_k): of the experts, ascending, as their rows are
    uint64_t tiles;      // (top_k)
    uint64_t counts;     // (experts): rows of each, for the host
    uint64_t ids;        // (top_k): for the host
    uint64_t id_weights; // (top_k): for the host
    uint64_t predicted;  // (top_k): for the host
    uint parts;
    uint normalize;      // the chosen probabilities add up to 1
    uint d_model;
    float epsilon;
};
layout(buffer_reference, scalar, buffer_reference_align = 8) readonly restrict buffer RouteOp {
    Route v;
};
shared Route router; // the op under way, or that of the experts under way

#define PARTIAL(sum, subgroup) pool[(sum) * THREADS / 4 + (subgroup) / 4][(subgroup) % 4]
shared float logit[EXPERTS];
shared uvec4 key[(EXPERTS + 3) / 4];        // the logits as integers of the same order
shared uint64_t address[EXPERTS];           // their slots, which may be none
shared uint chosen[TOP_K];
shared float best;
shared bool last;

// choose finds a plane's top-k, or takes what is given: an expert's rank is the number of those
// better than it, where the lower id is the better of equals. All loads are asked for at once.
void choose(uint plane, bool given) {
    const uint tid = gl_LocalInvocationID.x, keys = (EXPERTS + 3) / 4;
    barrier();
    for (uint k = tid; given && k < TOP_K; k += THREADS)
        chosen[k] = min(UintIn(router.given).v[k], EXPERTS - 1);
    for (uint e = tid; e < 4 * keys; e += THREADS) {
        float v = 0.0;
        if (e < EXPERTS) {
            v = FloatShared(router.logits).v[plane * EXPERTS + e];
            address[e] = Slots(router.slots).address[e];
            logit[e] = v;
        }
        key[e / 4][e % 4] = e < EXPERTS ? order(v) : 0;
    }
    barrier();
    for (uint e = tid; e < EXPERTS; e += THREADS) {
        const uint own = key[e / 4][e % 4];
        uint rank = 0;
        for (uint j = 0; j < keys; j++) {
            const uvec4 other = key[j];
            [[unroll]] for (uint c = 0; c < 4; c++)
                rank += other[c] > own || (other[c] == own && 4 * j + c < e) ? 1 : 0;
        }
        if (rank == 0) best = logit[e];
        if (rank < TOP_K && !given) chosen[rank] = e;
    }
    barrier();
}

// rowOf is the row of a chosen expert: they ascend.
uint rowOf(uint e) {
    uint row = 0;
    for (uint j = 0; j < TOP_K; j++) row += chosen[j] < e ? 1 : 0;
    return row;
}

// plan writes what the experts' products and the host need of the choice.
void plan() {
    const uint tid = gl_LocalInvocationID.x;
    for (uint e = tid; e < EXPERTS; e += THREADS) {
        uint rows = 0;
        for (uint k = 0; k < TOP_K; k++) rows += chosen[k] == e ? 1 : 0;
        UintOut(router.counts).v[e] = rows;
    }
    for (uint k = tid; k < TOP_K; k += THREADS) {
        const uint e = chosen[k], row = rowOf(e);
        float sum = 0.0; // every thread adds up the same numbers in the same order
        if (router.normalize != 0 || flag(GIVEN)) {
            for (uint j = 0; j < TOP_K; j++) sum += exp(logit[chosen[j]] - best);
        } else {
            for (uint j = 0; j < EXPERTS; j++) sum += exp(logit[j] - best);
        }
        const float weight = exp(logit[e] - best) / sum;
        FloatShared(router.weights).v[row] = weight;
        UintOut(router.ids).v[k] = e;
        FloatIO(router.id_weights).v[k] = weight;
        if (flag(PLANNED)) {
            Tiles tiles = Tiles(router.tiles);
            tiles.v[row].slot = address[e];
            tiles.v[row].quad = row;
            tiles.v[row].rows = 1;
        }
    }
}

// planes are those of logits.
uint planes() { return flag(PREDICT) && router.predicted != 0ul ? 2 : 1; }

// decide finds the choice, and tells it, and what is predicted, if it is to.
void decide(bool tell) {
    const uint tid = gl_LocalInvocationID.x;
    if (tell && planes() > 1) {
        choose(1, false);
        for (uint k = tid; k < TOP_K; k += THREADS) UintOut(router.predicted).v[k] = chosen[k];
    }
    choose(0, flag(GIVEN));
    if (tell) plan();
}

// logits computes those of a group.
void logits(uint group) {
    const uint tid = gl_LocalInvocationID.x, e0 = group * EACH;
    vec4 gate[EACH * PER]; // asked for before all else, for it comes from far away
    [[unroll]] for (uint i = 0; i < PER; i++)
        [[unroll]] for (uint e = 0; e < EACH; e++)
            gate[i * EACH + e] = Vec4In(router.gate).v[min(e0 + e, planes() * EXPERTS - 1) * D4
                                                  + min(i * THREADS + tid, D4 - 1)];
    const bool text = router.alone == 0ul;
    Vec4Shared base = Vec4Shared(text || flag(CHAINED) ? router.base : router.alone);
    vec4 v[PER];
    float sum[EACH + 1]; // the last one is of squares
    [[unroll]] for (uint e = 0; e <= EACH; e++) sum[e] = 0.0;
    [[unroll]] for (uint i = 0; i < PER; i++) {
        const uint d = i * THREADS + tid;
        v[i] = vec4(0.0);
        if (d < D4) {
            if (text) v[i] = parted(router.added, router.parts, D4, d);
            v[i] += base.v[d];
            sum[EACH] += dot(v[i], v[i]);
            if (text && group == 0) Vec4Shared(router.h).v[d] = v[i];
            if (text) v[i] *= Vec4In(router.norm).v[d];
            [[unroll]] for (uint e = 0; e < EACH; e++) sum[e] += dot(v[i], gate[i * EACH + e]);
        }
    }
    barrier(); // the sums of a group before have been read
    [[unroll]] for (uint e = 0; e <= EACH; e++) {
        const float part = subgroupAdd(sum[e]);
        if (subgroupElect()) PARTIAL(e, gl_SubgroupID) = part;
    }
    barrier();
    float scale = 1.0;
    if (text) {
        float squares = 0.0;
        for (uint i = 0; i < gl_NumSubgroups; i++) squares += PARTIAL(EACH, i);
        scale = 1.0 / sqrt(squares / float(router.d_model) + router.epsilon);
    }
    if (group == 0)
        [[unroll]] for (uint i = 0; i < PER; i++)
            if (i * THREADS + tid < D4) Vec4Shared(router.x).v[i * THREADS + tid] = v[i] * scale;
    if (tid < EACH && e0 + tid < planes() * EXPERTS) {
        float all = 0.0;
        for (uint i = 0; i < gl_NumSubgroups; i++) all += PARTIAL(tid, i);
        FloatShared(router.logits).v[e0 + tid] = all * scale;
    }
}

void route() {
    const uint tid = gl_LocalInvocationID.x, groups = (planes() * EXPERTS + EACH - 1) / EACH;
    uint done = 0;
    for (uint group = gl_WorkGroupID.x; group < groups; group += gl_NumWorkGroups.x) {
        logits(group);
        done++;
    }
    if (done == 0 || flag(DEFERRED)) return;
    release();
    if (tid == 0) {
        memoryBarrierBuffer();
        last = atomicAdd(UintShared(router.counter).v[0], done) + done == groups;
        if (last) UintShared(router.counter).v[0] = 0; // for the next layer
        memoryBarrierBuffer();
    }
    barrier();
    if (last) decide(true);
}

// Combine is the end of a layer alone: x + Σ expert outputs, and in a chain of layers
// RMSNorm of that, without weights, is the next layer's input.
layout(buffer_reference, scalar, buffer_reference_align = 8) readonly restrict buffer Combine {
    uint kind, groups;
    uint64_t y;       // (top_k, parts, d), weighted
    uint64_t base;    // (d): the layer's input, if chained
    uint64_t next;    // (d): the next layer's input, if chained; may be base
    uint64_t moe;     // (d), with KEPT
    uint parts;
    uint d_model;
};

void combine(Combine c) {
    const uint tid = gl_LocalInvocationID.x;
    if (gl_WorkGroupID.x > 0) return;
    const bool chained = flag(CHAINED);
    const uint parts = c.parts;
    Vec4Shared y = Vec4Shared(c.y);
    vec4 v[PER];
    float squares = 0.0;
    [[unroll]] for (uint i = 0; i < PER; i++) {
        const uint d = i * THREADS + tid;
        v[i] = vec4(0.0);
        if (d < D4) {
            for (uint n = 0; n < parts; n++)
                [[unroll]] for (uint row = 0; row < TOP_K; row++)
                    v[i] += y.v[(row * parts + n) * D4 + d];
            if (flag(KEPT)) Vec4Out(c.moe).v[d] = v[i];
            if (chained) v[i] += Vec4Shared(c.base).v[d];
            squares += dot(v[i], v[i]);
        }
    }
    if (!chained) return;
    const float scale = 1.0 / sqrt(sumOfAll(squares) / float(c.d_model) + 1e-6);
    [[unroll]] for (uint i = 0; i < PER; i++) {
        const uint d = i * THREADS + tid;
        if (d < D4) Vec4Shared(c.next).v[d] = v[i] * scale;
    }
}
