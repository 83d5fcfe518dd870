#version 460
// Causal attention with shared keys: softmax(q · kᵀ / √dim) · v, in one pass over the
// cache. A workgroup takes HEADS query heads of one key head for TOKENS tokens, ROWS rows in
// all, so that a key or value is read once for all of them.
//
//   positions ──block of BLOCK──┬──block──┬── …        a split of the positions
//     scores: SHARE threads side by side a position, all rows
//     values: a thread 4 dimensions of every GROUPS-th position, all rows
//
// Running maximum and sum of each row make the softmax stable: what was added up before a
// larger score came is scaled down. Where one token has a long past, gl_NumWorkGroups.z
// splits share it and merge.comp puts their results together.
//
// ONE serves a single token in one dispatch, with the work of rope.comp before and that of
// merge.comp after it: each workgroup makes the queries that it needs; the newest key and value
// are made by every workgroup whose split ends with them, and the last workgroup of a
// group of heads, as an atomic counts them, puts the splits together.
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#include "common.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint THREADS = 64;
layout(constant_id = 1) const uint DIM = 128;   // of a head, a multiple of 4
layout(constant_id = 2) const uint HEADS = 4;
layout(constant_id = 3) const uint TOKENS = 1;
layout(constant_id = 4) const uint SHARE = 4;   // divides THREADS
const uint DIM4 = DIM / 4;
const uint ROWS = HEADS * TOKENS;
const uint BLOCK = THREADS / SHARE;             // positions
const uint GROUPS = THREADS / DIM4;             // DIM4 <= THREADS
const uint LANES = THREADS / ROWS;              // that reduce one row; ROWS <= THREADS
const uint TOGETHER = 4;                        // rows whose shares are added up at a time

layout(push_constant, scalar) uniform Push {
#ifdef ONE
    uint64_t qkv;      // (parts, width): all queries, all keys, all values
    uint64_t keys;     // (kv_heads, context, dim)
    uint64_t values;   // (kv_heads, context, dim)
    uint64_t turns;    // (context, dim/2): cosine and sine
    uint64_t q_norm;   // (dim) or (heads, dim)
    uint64_t k_norm;   // (dim) or (kv_heads, dim)
    uint64_t dst;      // (heads, dim)
    uint64_t acc;      // (splits, heads, dim), unscaled
    uint64_t state;    // (splits, heads) of maximum and sum
    uint64_t counters; // (groups of heads)
    uint heads;
    uint per_key;      // query heads that share a key head
    uint parts;
    uint width;
    uint position;     // of the token
    uint context;
    uint span;         // positions of a split
    uint norm;
    float epsilon;
    float scale;       // 1/√dim
#else
    uint64_t q;        // (tokens, heads, dim)
    uint64_t keys;     // (kv_heads, context, dim)
    uint64_t values;   // (kv_heads, context, dim)
    uint64_t dst;      // (tokens, stride), or with splits (splits, tokens, heads, dim), unscaled
    uint64_t state;    // with splits: (splits, tokens, heads) of maximum and sum
    uint heads;
    uint per_key;      // query heads that share a key head
    uint tokens;
    uint position;     // of the first token
    uint context;
    uint span;         // positions of a split
    uint stride;       // of a token in dst
    float scale;       // 1/√dim
#endif
} pc;

layout(buffer_reference, std430, buffer_reference_align = 8) writeonly restrict buffer Vec2Out {
    vec2 v[];
};

shared vec4 query[ROWS * DIM4];
shared float score[ROWS * THREADS]; // (rows, BLOCK, SHARE)
shared float weight[ROWS * BLOCK];  // (rows, BLOCK)
shared float lanes[ROWS * LANES]; // of a row: partial maxima, then sums
shared float highest[ROWS];       // so far
shared float total[ROWS];         // so far
shared float shrink[ROWS];        // what the newest maximum makes of earlier results
shared vec4 part[TOGETHER * THREADS]; // (rows, threads)

#define NONE uintBitsToFloat(0xff800000u) // -infinity

#ifdef ONE
#include "sum.glsl"
layout(buffer_reference, std430, buffer_reference_align = 8) readonly restrict buffer Vec2In {
    vec2 v[];
};
layout(buffer_reference, std430, buffer_reference_align = 8) coherent buffer Vec2Shared {
    vec2 v[];
};
layout(buffer_reference, std430, buffer_reference_align = 16) coherent buffer Vec4Shared {
    vec4 v[];
};
layout(buffer_reference, std430, buffer_reference_align = 4) coherent buffer Counters {
    uint v[];
};
const uint PER_HEAD = 1, WHOLE_ROW = 2; // pc.norm
const uint HALF = DIM / 2;
const uint MAX_PARTS = 8;   // of the projection
const uint MAX_SPLITS = 32; // of the past; THREADS >= MAX_SPLITS

shared float raw[(HEADS + 1) * DIM]; // the queries, then the newest key
shared float sums[HEADS * MAX_SPLITS];
shared vec4 newest[2 * DIM4];        // the newest key, then its value
shared float normed[HEADS + 1];
shared bool last_;

// projected adds up the parts of four elements.
vec4 projected(uint i) {
    vec4 v = vec4(0.0);
    [[unroll]] for (uint p = 0; p < MAX_PARTS; p++) { // all loads at once
        const vec4 part_ = Vec4In(pc.qkv).v[min(p, pc.parts - 1) * (pc.width / 4) + i];
        v += p < pc.parts ? part_ : vec4(0.0);
    }
    return v;
}

// rms is 1 / RMS of n projected elements from first on.
float rms(uint first, uint n) {
    float own = 0.0;
    for (uint i = gl_LocalInvocationID.x; i < n / 4; i += THREADS) {
        const vec4 v = projected(first / 4 + i);
        own += dot(v, v);
    }
    return 1.0 / sqrt(sumOfAll(own) / float(n) + pc.epsilon);
}

// scaleRows leaves what each row of raw is to be multiplied by.
void scaleRows(uint kv_heads) {
    const uint tid = gl_LocalInvocationID.x;
    if (pc.norm == WHOLE_ROW) {
        const float q = rms(0, pc.heads * DIM), k = rms(pc.heads * DIM, kv_heads * DIM);
        if (tid <= HEADS) normed[tid] = tid < HEADS ? q : k;
    } else if (pc.norm == PER_HEAD) {
        const uint lanes_ = THREADS / (HEADS + 1); // that add up one row
        const uint row = tid / lanes_;
        float own = 0.0;
        if (row <= HEADS)
            for (uint i = tid % lanes_; i < DIM; i += lanes_)
                own = fma(raw[row * DIM + i], raw[row * DIM + i], own);
        sums_[tid] = own;
        barrier();
        if (tid <= HEADS) {
            float sum = 0.0;
            for (uint i = 0; i < lanes_; i++) sum += sums_[tid * lanes_ + i];
            normed[tid] = 1.0 / sqrt(sum / float(DIM) + pc.epsilon);
        }
    } else if (tid <= HEADS) {
        normed[tid] = 1.0;
    }
    barrier();
}

// make leaves the queries in shared memory, norm and position applied, scaled, and the newest
// key and value too; one workgroup writes those to the cache.
void make(uint head0, bool keep) {
    const uint tid = gl_LocalInvocationID.x;
    const uint key = head0 / pc.per_key, kv_heads = pc.heads / pc.per_key;
    const uint key0 = pc.heads + key, value0 = key0 + kv_heads; // rows of the projection
    for (uint i = tid; i < (HEADS + 2) * DIM4; i += THREADS) {
        const uint at = i % DIM4, row = i / DIM4;
        const vec4 v = projected((row < HEADS ? head0 + row : row == HEADS ? key0 : value0) * DIM4 + at);
        if (row > HEADS) newest[DIM4 + at] = v;
        else [[unroll]] for (uint c = 0; c < 4; c++) raw[4 * i + c] = v[c];
    }
    barrier();
    scaleRows(kv_heads);
    for (uint i = tid; i < (HEADS + 1) * HALF; i += THREADS) {
        const uint row = i / HALF, at = i % HALF;
        float a = raw[row * DIM + at] * normed[row], b = raw[row * DIM + HALF + at] * normed[row];
        if (pc.norm != 0) {
            const bool query_ = row < HEADS;
            const uint own = pc.norm != WHOLE_ROW ? 0 : (query_ ? head0 + row : key) * DIM;
            FloatIn norm = FloatIn(query_ ? pc.q_norm : pc.k_norm);
            a *= norm.v[own + at];
            b *= norm.v[own + HALF + at];
        }
        const vec2 turn = Vec2In(pc.turns).v[pc.position * HALF + at];
        const float scale = row < HEADS ? pc.scale : 1.0;
        raw[row * DIM + at] = (a * turn.x - b * turn.y) * scale;
        raw[row * DIM + HALF + at] = (b * turn.x + a * turn.y) * scale;
    }
    barrier();
    for (uint i = tid; i < (HEADS + 1) * DIM4; i += THREADS) {
        const vec4 v = vec4(raw[4 * i], raw[4 * i + 1], raw[4 * i + 2], raw[4 * i + 3]);
        if (i < HEADS * DIM4) query[i] = v;
        else newest[i - HEADS * DIM4] = v;
    }
    barrier();
    const uint to = (key * pc.context + pc.position) * DIM4;
    for (uint i = tid; keep && i < DIM4; i += THREADS) {
        Vec4Out(pc.keys).v[to + i] = newest[i];
        Vec4Out(pc.values).v[to + i] = newest[DIM4 + i];
    }
}

// merge puts the splits of a group of heads together, as merge.comp does.
void merge(uint head0) {
    const uint tid = gl_LocalInvocationID.x, splits = gl_NumWorkGroups.z;
    Vec2Shared state = Vec2Shared(pc.state);
    Vec4Shared acc = Vec4Shared(pc.acc);
    for (uint i = tid; i < HEADS * splits; i += THREADS) {
        const vec2 of = state.v[i / HEADS * pc.heads + head0 + i % HEADS];
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
            vec4 a[8];
            [[unroll]] for (uint j = 0; j < 8; j++) { // all loads at once
                const uint s = min(s0 + j, splits - 1);
                a[j] = acc.v[(s * pc.heads + head0 + h) * DIM4 + i % DIM4];
            }
            [[unroll]] for (uint j = 0; j < 8; j++) {
                if (s0 + j < splits) {
                    const float w = exp(score[(s0 + j) * HEADS + h] - top);
                    sum = fma(w, sums[(s0 + j) * HEADS + h], sum);
                    v = fma(vec4(w), a[j], v);
                }
            }
        }
        Vec4Out(pc.dst).v[(head0 + h) * DIM4 + i % DIM4] = v / sum;
    }
}
#else
// fetch brings the rows' queries to shared memory, already scaled.
void fetch(uint head0, uint token0) {
    for (uint i = gl_LocalInvocationID.x; i < ROWS * DIM4; i += THREADS) {
        const uint row = i / DIM4, token = token0 + row / HEADS;
        vec4 v = vec4(0.0);
        if (token < pc.tokens)
            v = Vec4In(pc.q).v[(token * pc.heads + head0 + row % HEADS) * DIM4 + i % DIM4];
        query[i] = v * pc.scale;
    }
}
#endif

// scores computes a thread's share of one position against all rows.
void scores(uint key0, uint at, uint last) {
    const uint tid = gl_LocalInvocationID.x;
    float s[ROWS];
    [[unroll]] for (uint r = 0; r < ROWS; r++) s[r] = 0.0;
    if (at < last) {
        Vec4In keys = Vec4In(pc.keys);
        for (uint d = tid % SHARE; d < DIM4; d += SHARE) {
            vec4 k;
#ifdef ONE
            if (at == pc.position) k = newest[d];
            else
#endif
            k = keys.v[(key0 + at) * DIM4 + d];
            [[unroll]] for (uint r = 0; r < ROWS; r++) s[r] += dot(k, query[r * DIM4 + d]);
        }
    }
    [[unroll]] for (uint r = 0; r < ROWS; r++) score[r * THREADS + tid] = s[r];
}

// weigh turns the scores of a block, whose first position is base, into weights and brings
// maximum and sum up to date. Rows of earlier tokens do not see later positions. LANES
// threads share a row.
void weigh(uint base, uint last, uint token0) {
    const uint tid = gl_LocalInvocationID.x, row = tid / LANES, lane = tid % LANES;
    float top = NONE, sum = 0.0;
    if (row < ROWS) {
#ifdef ONE
        const uint end = last;
#else
        const uint end = min(last, pc.position + token0 + row / HEADS + 1);
#endif
        for (uint i = lane; i < BLOCK; i += LANES) {
            float s = 0.0;
            [[unroll]] for (uint j = 0; j < SHARE; j++) s += score[row * THREADS + i * SHARE + j];
            s = base + i < end ? s : NONE;
            weight[row * BLOCK + i] = s;
            top = max(top, s);
        }
        lanes[tid] = top;
    }
    barrier();
    if (row < ROWS) {
        top = highest[row];
        for (uint i = 0; i < LANES; i++) top = max(top, lanes[row * LANES + i]);
    }
    barrier();
    if (row < ROWS) {
        const float from = top == NONE ? 0.0 : top; // a row that has seen nothing yet
        for (uint i = lane; i < BLOCK; i += LANES) {
            const float w = exp(weight[row * BLOCK + i] - from);
            weight[row * BLOCK + i] = w;
            sum += w;
        }
        lanes[tid] = sum;
        if (lane == 0) {
            shrink[row] = exp(highest[row] - from);
            highest[row] = top;
        }
    }
    barrier();
    if (row < ROWS && lane == 0) {
        float t = total[row] * shrink[row];
        for (uint i = 0; i < LANES; i++) t += lanes[row * LANES + i];
        total[row] = t;
    }
}

void main() {
    const uint tid = gl_LocalInvocationID.x;
    const uint head0 = gl_WorkGroupID.x * HEADS, token0 = gl_WorkGroupID.y * TOKENS;
    const uint split = gl_WorkGroupID.z, lane = tid % DIM4, group = tid / DIM4;
    const uint key0 = head0 / pc.per_key * pc.context;
    const uint first = split * pc.span;
#ifdef ONE
    const uint last = min(first + pc.span, pc.position + 1);
    make(head0, last == pc.position + 1 && head0 % pc.per_key == 0);
#else
    const uint last = min(first + pc.span, pc.position + min(token0 + TOKENS, pc.tokens));
    fetch(head0, token0);
#endif
    if (tid < ROWS) {
        highest[tid] = NONE;
        total[tid] = 0.0;
    }
    vec4 acc[ROWS];
    [[unroll]] for (uint r = 0; r < ROWS; r++) acc[r] = vec4(0.0);
    barrier();
    for (uint base = first; base < last; base += BLOCK) {
        scores(key0, base + tid / SHARE, last);
        barrier();
        weigh(base, last, token0);
        [[unroll]] for (uint r = 0; r < ROWS; r++) acc[r] *= shrink[r];
        const uint there = min(BLOCK, last - base);
        Vec4In values = Vec4In(pc.values);
        if (group < GROUPS) {
            for (uint i = group; i < there; i += GROUPS) {
                vec4 v;
#ifdef ONE
                if (base + i == pc.position) v = newest[DIM4 + lane];
                else
#endif
                v = values.v[(key0 + base + i) * DIM4 + lane];
                [[unroll]] for (uint r = 0; r < ROWS; r++)
                    acc[r] = fma(vec4(weight[r * BLOCK + i]), v, acc[r]);
            }
        }
        barrier();
    }

    const bool whole = gl_NumWorkGroups.z == 1;
    for (uint r0 = 0; r0 < ROWS; r0 += TOGETHER) { // the groups' shares of the positions, in their order
        [[unroll]] for (uint i = 0; i < ROWS; i++)
            if (i / TOGETHER * TOGETHER == r0) part[i % TOGETHER * THREADS + tid] = acc[i];
        barrier();
        for (uint i = tid; i < TOGETHER * DIM4; i += THREADS) {
            const uint r = r0 + i / DIM4, at = i % DIM4, from = i / DIM4 * THREADS + at;
            if (r >= ROWS) break;
            vec4 v = part[from];
            for (uint g = 1; g < GROUPS; g++) v += part[from + g * DIM4];
            const uint head = head0 + r % HEADS;
#ifdef ONE
            if (whole) {
                Vec4Out(pc.dst).v[head * DIM4 + at] = v / total[r];
            } else {
                const uint row = split * pc.heads + head;
                Vec4Shared(pc.acc).v[row * DIM4 + at] = v;
                if (at == 0) Vec2Shared(pc.state).v[row] = vec2(highest[r], total[r]);
            }
#else
            const uint token = token0 + r / HEADS;
            if (token >= pc.tokens) continue;
            if (whole) {
                Vec4Out(pc.dst).v[(token * pc.stride + head * DIM) / 4 + at] = v / total[r];
            } else {
                const uint row = (split * pc.tokens + token) * pc.heads + head;
                Vec4Out(pc.dst).v[row * DIM4 + at] = v;
                if (at == 0) Vec2Out(pc.state).v[row] = vec2(highest[r], total[r]);
            }
#endif
        }
        barrier();
    }
#ifdef ONE
    if (whole) return;
    memoryBarrierBuffer();
    barrier();
    if (tid == 0) {
        Counters done = Counters(pc.counters);
        last_ = atomicAdd(done.v[gl_WorkGroupID.x], 1) + 1 == gl_NumWorkGroups.z;
        if (last_) done.v[gl_WorkGroupID.x] = 0; // for the next layer
    }
    barrier();
    if (!last_) return;
    memoryBarrierBuffer();
    merge(head0);
#endif
}
