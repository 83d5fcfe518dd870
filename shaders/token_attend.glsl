// Attention of one token, with everything between the two projections: norms, positions, the
// newest key and value, and the splits of the past put together.
//
//   item (group of HEADS query heads, split): queries, its part of the past ──┐ an atomic counts
//   the last of a group's: Σ over the splits                                 ◄┘
//
// Each item makes the queries that it needs. The newest key and value are made by every item;
// the last split's writes them to the cache, where this token's items never read them.
const uint TOKENS = 1;
#include "attention.glsl"

layout(buffer_reference, std430, buffer_reference_align = 8) readonly restrict buffer Vec2In {
    vec2 v[];
};

layout(buffer_reference, scalar, buffer_reference_align = 8) readonly restrict buffer Attend {
    uint kind, groups; // groups of heads
    uint64_t qkv;      // (parts, width): all queries, all keys, all values
    uint64_t squares;  // (parts) of the product's inputs, or 0: it was scaled
    uint64_t keys;     // (kv_heads, context, dim)
    uint64_t values;   // (kv_heads, context, dim)
    uint64_t turns;    // (context, dim/2): cosine and sine
    uint64_t q_norm;   // (dim) or (heads, dim)
    uint64_t k_norm;   // (dim) or (kv_heads, dim)
    uint64_t dst;      // (heads, dim)
    uint64_t acc;      // (splits, heads, dim), unscaled
    uint64_t state;    // (splits, heads) of maximum and sum
    uint64_t counters; // (groups)
    uint heads;
    uint per_key;      // query heads that share a key head
    uint parts;
    uint width;
    uint context;
    uint most;         // splits
    uint norm;         // of queries and keys
    uint d_model;
    float epsilon;
    float scale;       // 1/√dim
};

const uint PER_HEAD = 1, WHOLE_ROW = 2; // a.norm
const uint HALF = DIM / 2;
const uint MAX_SPLITS = 32; // of the past

shared float raw[(HEADS + 1) * DIM];    // the queries, then the newest key
shared float sums[HEADS * MAX_SPLITS];
shared vec4 newest[2 * DIM4];           // the newest key, then its value
shared float normed[HEADS + 1];
shared bool last_;

vec4 keyOf(uint64_t keys, uint at, uint i) {
    if (at == pc.position) return newest[i % DIM4];
    return Vec4In(keys).v[i];
}
vec4 valueOf(uint64_t values, uint at, uint i) {
    if (at == pc.position) return newest[DIM4 + i % DIM4];
    return Vec4In(values).v[i];
}

// projected adds up the parts of four elements.
vec4 projected(Attend a, float scale, uint i) {
    vec4 v = vec4(0.0);
    [[unroll]] for (uint p = 0; p < MAX_PARTS; p++) { // all loads at once
        const vec4 one = Vec4Shared(a.qkv).v[min(p, a.parts - 1) * (a.width / 4) + i];
        v += p < a.parts ? one : vec4(0.0);
    }
    return v * scale;
}

// rms is 1 / RMS of n projected elements from first on.
float rms(Attend a, float scale, uint first, uint n) {
    float own = 0.0;
    for (uint i = gl_LocalInvocationID.x; i < n / 4; i += THREADS) {
        const vec4 v = projected(a, scale, first / 4 + i);
        own += dot(v, v);
    }
    return 1.0 / sqrt(sumOfAll(own) / float(n) + a.epsilon);
}

// scaleRows leaves what each row of raw is to be multiplied by.
void scaleRows(Attend a, float scale, uint kv_heads) {
    const uint tid = gl_LocalInvocationID.x;
    if (a.norm == WHOLE_ROW) {
        const float q = rms(a, scale, 0, a.heads * DIM);
        const float k = rms(a, scale, a.heads * DIM, kv_heads * DIM);
        if (tid <= HEADS) normed[tid] = tid < HEADS ? q : k;
    } else if (a.norm == PER_HEAD) {
        const uint share = THREADS / (HEADS + 1); // threads that add up one row
        const uint row = tid / share;
        float own = 0.0;
        if (row <= HEADS)
            for (uint i = tid % share; i < DIM; i += share)
                own = fma(raw[row * DIM + i], raw[row * DIM + i], own);
        halves[tid] = own;
        barrier();
        if (tid <= HEADS) {
            float sum = 0.0;
            for (uint i = 0; i < share; i++) sum += halves[tid * share + i];
            normed[tid] = 1.0 / sqrt(sum / float(DIM) + a.epsilon);
        }
    } else if (tid <= HEADS) {
        normed[tid] = 1.0;
    }
    barrier();
}

// make leaves the queries in shared memory, norm and position applied, scaled, and the newest
// key and value too, which it writes to the cache if it is to keep them.
void make(Attend a, uint head0, bool keep) {
    const uint tid = gl_LocalInvocationID.x;
    const uint key = head0 / a.per_key, kv_heads = a.heads / a.per_key;
    const uint key0 = a.heads + key, value0 = key0 + kv_heads; // rows of the projection
    float scale = 1.0;
    if (a.squares != 0ul) {
        float squares = 0.0;
        for (uint p = 0; p < a.parts; p++) squares += FloatShared(a.squares).v[p];
        scale = 1.0 / sqrt(squares / float(a.d_model) + a.epsilon);
    }
    for (uint i = tid; i < (HEADS + 2) * DIM4; i += THREADS) {
        const uint at = i % DIM4, row = i / DIM4;
        const uint from = row < HEADS ? head0 + row : row == HEADS ? key0 : value0;
        const vec4 v = projected(a, scale, from * DIM4 + at);
        if (row > HEADS) newest[DIM4 + at] = v;
        else [[unroll]] for (uint c = 0; c < 4; c++) raw[4 * i + c] = v[c];
    }
    barrier();
    scaleRows(a, scale, kv_heads);
    for (uint i = tid; i < (HEADS + 1) * HALF; i += THREADS) {
        const uint row = i / HALF, at = i % HALF;
        float x = raw[row * DIM + at] * normed[row], y = raw[row * DIM + HALF + at] * normed[row];
        if (a.norm != 0) {
            const bool query_ = row < HEADS;
            const uint own = a.norm != WHOLE_ROW ? 0 : (query_ ? head0 + row : key) * DIM;
            FloatIn norm = FloatIn(query_ ? a.q_norm : a.k_norm);
            x *= norm.v[own + at];
            y *= norm.v[own + HALF + at];
        }
        const vec2 turn = Vec2In(a.turns).v[pc.position * HALF + at];
        const float by = row < HEADS ? a.scale : 1.0;
        raw[row * DIM + at] = (x * turn.x - y * turn.y) * by;
        raw[row * DIM + HALF + at] = (y * turn.x + x * turn.y) * by;
    }
    barrier();
    for (uint i = tid; i < (HEADS + 1) * DIM4; i += THREADS) {
        const vec4 v = vec4(raw[4 * i], raw[4 * i + 1], raw[4 * i + 2], raw[4 * i + 3]);
        if (i < HEADS * DIM4) query[i] = v;
        else newest[i - HEADS * DIM4] = v;
    }
    barrier();
    const uint to = (key * a.context + pc.position) * DIM4;
    for (uint i = tid; keep && i < DIM4; i += THREADS) {
        Vec4Out(a.keys).v[to + i] = newest[i];
        Vec4Out(a.values).v[to + i] = newest[DIM4 + i];
    }
}

// merge puts the splits of a group of heads together, as merge.comp does.
void merge(Attend a, uint head0, uint splits) {
    const uint tid = gl_LocalInvocationID.x;
    Vec2Shared state = Vec2Shared(a.state);
    Vec4Shared acc = Vec4Shared(a.acc);
    for (uint i = tid; i < HEADS * splits; i += THREADS) {
        const vec2 of = state.v[i / HEADS * a.heads + head0 + i % HEADS];
        score[i] = of.x;
        sums[i] = of.y;
    }
    barrier();
    for (uint i = tid; i < HEADS * DIM4; i += THREADS) {
        const uint h = i / DIM4;
        float top = NONE, sum = 0.0;
        vec4 v = vec4(0.0);
        for (uint s = 0; s < splits; s++) top = max(top, score[s * HEADS + h]);
        for (uint s0 = 0; s0 < splits; s0 += 8) {
            vec4 some[8];
            [[unroll]] for (uint j = 0; j < 8; j++) { // all loads at once
                const uint s = min(s0 + j, splits - 1);
                some[j] = acc.v[(s * a.heads + head0 + h) * DIM4 + i % DIM4];
            }
            [[unroll]] for (uint j = 0; j < 8; j++) {
                if (s0 + j < splits) {
                    const float w = exp(score[(s0 + j) * HEADS + h] - top);
                    sum = fma(w, sums[(s0 + j) * HEADS + h], sum);
                    v = fma(vec4(w), some[j], v);
                }
            }
        }
        Vec4Shared(a.dst).v[(head0 + h) * DIM4 + i % DIM4] = v / sum;
    }
}

// split attends to one split of the past for one group of heads.
void attendSplit(Attend a, uint group, uint split, uint splits, uint span) {
    const uint tid = gl_LocalInvocationID.x, head0 = group * HEADS;
    const uint first = split * span, last = min(first + span, pc.position + 1);
    make(a, head0, split + 1 == splits && head0 % a.per_key == 0);
    vec4 acc[ROWS];
    past(a.keys, a.values, head0 / a.per_key * a.context, first, last, 0, acc);
    for (uint r0 = 0; r0 < ROWS; r0 += TOGETHER) { // the groups' shares of the positions, in their order
        [[unroll]] for (uint i = 0; i < ROWS; i++)
            if (i / TOGETHER * TOGETHER == r0) pool[i % TOGETHER * THREADS + tid] = acc[i];
        barrier();
        for (uint i = tid; i < TOGETHER * DIM4; i += THREADS) {
            const uint r = r0 + i / DIM4, at = i % DIM4, from = i / DIM4 * THREADS + at;
            if (r >= ROWS) break;
            vec4 v = pool[from];
            for (uint g = 1; g < GROUPS; g++) v += pool[from + g * DIM4];
            if (splits == 1) {
                Vec4Shared(a.dst).v[(head0 + r) * DIM4 + at] = v / total[r];
            } else {
                const uint row = split * a.heads + head0 + r;
                Vec4Shared(a.acc).v[row * DIM4 + at] = v;
                if (at == 0) Vec2Shared(a.state).v[row] = vec2(highest[r], total[r]);
            }
        }
        barrier();
    }
    if (splits == 1) return;
    memoryBarrierBuffer();
    barrier();
    if (tid == 0) {
        UintShared done = UintShared(a.counters);
        last_ = atomicAdd(done.v[group], 1) + 1 == splits;
        if (last_) done.v[group] = 0; // for the next layer
    }
    barrier();
    if (last_) {
        memoryBarrierBuffer();
        merge(a, head0, splits);
    }
    barrier();
}

// attend cuts the past into as many splits as there is work for; past of text_kernels.go does
// the same for the host.
void attend(Attend a) {
    const uint blocks = (pc.position + BLOCK) / BLOCK; // pc.position + 1 positions
    const uint most = max(1, min(blocks, a.most));
    const uint span = (blocks + most - 1) / most * BLOCK;
    const uint splits = (pc.position + span) / span;
    for (uint g = gl_WorkGroupID.x; g < a.groups * splits; g += gl_NumWorkGroups.x)
        attendSplit(a, g / splits, g % splits, splits, span);
}

// Embed starts the residual stream.
layout(buffer_reference, scalar, buffer_reference_align = 8) readonly restrict buffer Embed {
    uint kind, groups;
    uint64_t embedding; // (d, vocab) as in moe.Layout
    uint64_t id;
    uint64_t h;         // (d)
    uint dtype;
    uint vocab;         // outputs of the layout
};

void embed(Embed e) {
    const uint id = UintIn(e.id).v[0];
    const uint step = THREADS * gl_NumWorkGroups.x;
    for (uint d = gl_GlobalInvocationID.x; d < 4 * D4; d += step) {
        float v;
        if (e.dtype == F32) v = FloatIn(e.embedding).v[d * e.vocab + id];
        else v = pair(e.dtype, UintIn(e.embedding).v[d / 2 * e.vocab + id])[d % 2];
        FloatShared(e.h).v[d] = v;
    }
}
