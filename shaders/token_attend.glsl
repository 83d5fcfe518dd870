// Attention of one token, with everything between the two projections: norms, positions, the
// newest key and value. What the splits of the past leave is put together by the projection
// that follows: see stageAttended.
//
//   item (group of HEADS query heads of one key head, split): its queries, its part of the past
//
// A split is worked through in blocks of BLOCK positions. Of a block's scores SHARE threads side by
// side take one position, for all heads; a subgroup makes the weights of a head; of its
// values a thread takes four dimensions of one head, or of every SLOTS-th. Running maximum and
// sum of each head make the softmax stable: what was added up before a larger score came is
// scaled down. The fewer heads an item has, the fewer splits fill the device, and those are work
// for the projection.
//
// Each item makes the queries that it needs, and the newest key and value. The last split's
// writes those to the cache; what other items read there meanwhile they do not use.

const uint HALF = DIM / 2;
const uint SLOTS = THREADS / DIM4;                     // DIM4 <= THREADS
const uint MINE = (HEADS + SLOTS - 1) / SLOTS;         // heads of a thread
const uint WAYS = SLOTS < HEADS ? 1 : SLOTS / HEADS;   // threads that share a head's positions
const uint KEYS = (DIM4 + SHARE - 1) / SHARE;          // loads of a thread for a position
const uint EACH_WAY = (BLOCK + WAYS - 1) / WAYS;       // positions
const uint TURN = EACH_WAY < 8 ? EACH_WAY : 8;         // values that a thread asks for at a time
const uint TURNS = ((HEADS + 1) * HALF + THREADS - 1) / THREADS;
const uint PER_HEAD = 1, WHOLE_ROW = 2;                // op.norm

layout(buffer_reference, std430, buffer_reference_align = 8) readonly restrict buffer Vec2In {
    vec2 v[];
};

struct Attend {
    uint kind, groups; // groups of heads
    uint64_t qkv;      // (parts, width): all queries, all keys, all values
    uint64_t squares;  // (parts) of the product's inputs, or 0: it was scaled
    uint64_t keys;     // (kv_heads, context, dim)
    uint64_t values;   // (kv_heads, context, dim)
    uint64_t turns;    // (context, dim/2): cosine and sine
    uint64_t q_norm;   // (dim) or (heads, dim)
    uint64_t k_norm;   // (dim) or (kv_heads, dim)
    uint64_t acc;      // (splits, heads, dim), unscaled
    uint64_t state;    // (splits, heads) of maximum and sum
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
layout(buffer_reference, scalar, buffer_reference_align = 8) readonly restrict buffer AttendOp {
    Attend v;
};
shared Attend attention; // the op under way

shared vec4 row[(HEADS + 2) * DIM4]; // the queries, scaled by 1/√dim; the newest key; its value
shared float normed[HEADS + 1];      // what a row is to be multiplied by
shared float weight[HEADS * BLOCK];
shared float highest[HEADS];         // so far
shared float total[HEADS];           // so far
shared float shrink[HEADS];          // what the newest maximum makes of earlier results

// projected adds up the parts of four elements.
vec4 projected(uint i) {
    return parted(attention.qkv, attention.parts, attention.width / 4, i);
}

// squaresOf adds up n projected elements from first on.
float squaresOf(uint first, uint n) {
    float own = 0.0;
    for (uint i = gl_LocalInvocationID.x; i < n / 4; i += THREADS) {
        const vec4 v = projected(first / 4 + i);
        own += dot(v, v);
    }
    return sumOfAll(own);
}

// normRows leaves what each row is to be multiplied by, where its inputs were to be by scale.
void normRows(float scale, uint kv_heads) {
    const uint tid = gl_LocalInvocationID.x;
    if (attention.norm == WHOLE_ROW) {
        const float heads = float(attention.heads * DIM), kv = float(kv_heads * DIM);
        const float q = squaresOf(0, attention.heads * DIM);
        const float k = squaresOf(attention.heads * DIM, kv_heads * DIM);
        const float mean = tid < HEADS ? q / heads : k / kv;
        if (tid <= HEADS) normed[tid] = scale / sqrt(scale * scale * mean + attention.epsilon);
    } else if (attention.norm == PER_HEAD) {
        for (uint n = gl_SubgroupID; n <= HEADS; n += gl_NumSubgroups) {
            float own = 0.0;
            for (uint i = gl_SubgroupInvocationID; i < DIM4; i += gl_SubgroupSize)
                own += dot(row[n * DIM4 + i], row[n * DIM4 + i]);
            const float mean = subgroupAdd(own) / float(DIM);
            if (subgroupElect()) normed[n] = scale / sqrt(scale * scale * mean + attention.epsilon);
        }
    } else if (tid <= HEADS) {
        normed[tid] = scale;
    }
    barrier();
}

// project leaves the queries, the newest key and its value in row as the projection has them, and
// returns what they are to be multiplied by.
float project(uint head0) {
    const uint key = head0 / attention.per_key, kv_heads = attention.heads / attention.per_key;
    const uint key0 = attention.heads + key, value0 = key0 + kv_heads; // rows of the projection
    float squares = 0.0;
    if (attention.squares != 0ul)
        [[unroll]] for (uint n = 0; n < MAX_PARTS; n++) { // all loads at once
            const float one = FloatShared(attention.squares).v[min(n, attention.parts - 1)];
            squares += n < attention.parts ? one : 0.0;
        }
    for (uint i = gl_LocalInvocationID.x; i < (HEADS + 2) * DIM4; i += THREADS) {
        const uint n = i / DIM4;
        const uint from = n < HEADS ? head0 + n : n == HEADS ? key0 : value0;
        row[i] = projected(from * DIM4 + i % DIM4);
    }
    barrier();
    return attention.squares == 0ul ? 1.0
        : 1.0 / sqrt(squares / float(attention.d_model) + attention.epsilon);
}

// turn applies norm and position to row, and writes key and value to the cache if it is to keep
// them.
void turn(uint head0, float scale, bool keep) {
    const uint tid = gl_LocalInvocationID.x;
    const uint key = head0 / attention.per_key;
    vec2 by[TURNS], angle[TURNS]; // asked for beforehand, as they come from far away
    [[unroll]] for (uint j = 0; j < TURNS; j++) {
        const uint i = min(j * THREADS + tid, (HEADS + 1) * HALF - 1), n = i / HALF, at = i % HALF;
        angle[j] = Vec2In(attention.turns).v[pc.position * HALF + at];
        by[j] = vec2(1.0);
        if (attention.norm != 0) {
            const uint own = attention.norm != WHOLE_ROW ? 0 : (n < HEADS ? head0 + n : key) * DIM;
            FloatIn norm = FloatIn(n < HEADS ? attention.q_norm : attention.k_norm);
            by[j] = vec2(norm.v[own + at], norm.v[own + HALF + at]);
        }
    }
    normRows(scale, attention.heads / attention.per_key);
    [[unroll]] for (uint j = 0; j < TURNS; j++) {
        const uint i = j * THREADS + tid, n = i / HALF, at = i % HALF, other = at + HALF;
        if (n > HEADS) break;
        const uint a = n * DIM4 + at / 4, b = n * DIM4 + other / 4;
        const float x = row[a][at % 4] * normed[n] * by[j].x;
        const float y = row[b][other % 4] * normed[n] * by[j].y;
        const float last = n < HEADS ? attention.scale : 1.0;
        row[a][at % 4] = (x * angle[j].x - y * angle[j].y) * last;
        row[b][other % 4] = (y * angle[j].x + x * angle[j].y) * last;
    }
    if (tid < DIM4) row[(HEADS + 1) * DIM4 + tid] *= scale;
    barrier();
    const uint to = (key * attention.context + pc.position) * DIM4;
    for (uint i = tid; keep && i < DIM4; i += THREADS) {
        Vec4Out(attention.keys).v[to + i] = row[HEADS * DIM4 + i];
        Vec4Out(attention.values).v[to + i] = row[(HEADS + 1) * DIM4 + i];
    }
}

// askKeys asks for a thread's share of the keys of a block; key0 is the key head's first
// position in the cache.
void askKeys(uint key0, uint base, out vec4 key[KEYS]) {
    const uint tid = gl_LocalInvocationID.x, at = min(base + tid / SHARE, pc.position);
    Vec4In keys = Vec4In(attention.keys);
    [[unroll]] for (uint j = 0; j < KEYS; j++)
        key[j] = keys.v[(key0 + at) * DIM4 + min(j * SHARE + tid % SHARE, DIM4 - 1)];
}

// scores leaves a thread's share of one position's, (head, position, SHARE), in the pool.
void scores(uint base, vec4 key[KEYS]) {
    const uint tid = gl_LocalInvocationID.x;
    const bool newest = base + tid / SHARE == pc.position;
    float s[HEADS];
    [[unroll]] for (uint h = 0; h < HEADS; h++) s[h] = 0.0;
    [[unroll]] for (uint j = 0; j < KEYS; j++) {
        const uint d = j * SHARE + tid % SHARE;
        if (d >= DIM4) break;
        const vec4 k = newest ? row[HEADS * DIM4 + d] : key[j];
        [[unroll]] for (uint h = 0; h < HEADS; h++) s[h] += dot(k, row[h * DIM4 + d]);
    }
    [[unroll]] for (uint h = 0; h < HEADS; h++) pool[(h * THREADS + tid) / 4][tid % 4] = s[h];
}

// weigh turns the scores of a block into weights and brings maximum and sum up to date.
void weigh(uint base, uint last) {
    for (uint h = gl_SubgroupID; h < HEADS; h += gl_NumSubgroups) {
        float top = NONE, sum = 0.0;
        for (uint i = gl_SubgroupInvocationID; i < BLOCK; i += gl_SubgroupSize) {
            vec4 s = vec4(0.0);
            [[unroll]] for (uint j = 0; j < SHARE / 4; j++)
                s += pool[(h * THREADS + i * SHARE) / 4 + j];
            const float all = base + i < last ? s.x + s.y + s.z + s.w : NONE;
            weight[h * BLOCK + i] = all;
            top = max(top, all);
        }
        top = max(subgroupMax(top), highest[h]); // a block has a position, so that it is a number
        for (uint i = gl_SubgroupInvocationID; i < BLOCK; i += gl_SubgroupSize) {
            const float w = exp(weight[h * BLOCK + i] - top);
            weight[h * BLOCK + i] = w;
            sum += w;
        }
        sum = subgroupAdd(sum);
        if (subgroupElect()) {
            shrink[h] = exp(highest[h] - top);
            total[h] = fma(total[h], shrink[h], sum);
            highest[h] = top;
        }
    }
}

// askValues asks for TURN values from position base + i on, WAYS apart.
void askValues(uint key0, uint base, uint i, out vec4 value[TURN]) {
    const uint d = gl_LocalInvocationID.x % DIM4;
    Vec4In values = Vec4In(attention.values);
    [[unroll]] for (uint j = 0; j < TURN; j++)
        value[j] = values.v[(key0 + min(base + i + j * WAYS, pc.position)) * DIM4 + d];
}

// headOf is head j of a thread, and wayOf which of its positions it takes.
uint headOf(uint j) {
    const uint slot = gl_LocalInvocationID.x / DIM4;
    return SLOTS < HEADS ? slot + j * SLOTS : slot % HEADS;
}
uint wayOf() {
    const uint slot = gl_LocalInvocationID.x / DIM4;
    return SLOTS < HEADS ? (slot < SLOTS ? 0 : WAYS) : slot / HEADS;
}

// attendSplit attends to one split of the past for one group of heads.
void attendSplit(uint group, Splits splits, uint split) {
    const uint tid = gl_LocalInvocationID.x, d = tid % DIM4, way = wayOf(), head0 = group * HEADS;
    const uint first = split * splits.span, last = min(first + splits.span, pc.position + 1);
    const uint key0 = head0 / attention.per_key * attention.context;
    if (tid < HEADS) {
        highest[tid] = NONE;
        total[tid] = 0.0;
    }
    const float scale = project(head0);
    vec4 key[KEYS];
    askKeys(key0, first, key);
    vec4 value[TURN];
    askValues(key0, first, way, value);
    turn(head0, scale, split + 1 == splits.n && head0 % attention.per_key == 0);
    vec4 acc[MINE];
    [[unroll]] for (uint j = 0; j < MINE; j++) acc[j] = vec4(0.0);
    for (uint base = first; base < last; base += BLOCK) {
        scores(base, key);
        if (base + BLOCK < last) askKeys(key0, base + BLOCK, key);
        barrier();
        weigh(base, last);
        barrier();
        [[unroll]] for (uint j = 0; j < MINE; j++) acc[j] *= shrink[min(headOf(j), HEADS - 1)];
        const uint there = min(BLOCK, last - base);
        for (uint i0 = way; i0 < there && way < WAYS; i0 += TURN * WAYS) {
            [[unroll]] for (uint n = 0; n < TURN; n++) {
                const uint i = i0 + n * WAYS;
                if (i >= there) break;
                const vec4 v = base + i == pc.position ? row[(HEADS + 1) * DIM4 + d] : value[n];
                [[unroll]] for (uint j = 0; j < MINE; j++)
                    acc[j] = fma(vec4(weight[min(headOf(j), HEADS - 1) * BLOCK + i]), v, acc[j]);
            }
            const uint next = i0 + TURN * WAYS;
            askValues(key0, next < BLOCK ? base : base + BLOCK, next < BLOCK ? next : way, value);
        }
    }
    [[unroll]] for (uint j = 0; j < MINE; j++) { // the ways' shares, in their order
        const uint h = headOf(j);
        barrier();
        pool[tid] = acc[j];
        barrier();
        if (h >= HEADS || way > 0) continue;
        vec4 v = acc[j];
        for (uint n = 1; n < WAYS; n++) v += pool[tid + n * HEADS * DIM4];
        const uint to = split * attention.heads + head0 + h;
        Vec4Shared(attention.acc).v[to * DIM4 + d] = v;
        if (d == 0) Vec2Shared(attention.state).v[to] = vec2(highest[h], total[h]);
    }
}

// attend cuts the past into as many splits as there is work for.
void attend() {
    const Splits splits = splitsOf(attention.most);
    const uint items = attention.groups * splits.n;
    for (uint g = gl_WorkGroupID.x; g < items; g += gl_NumWorkGroups.x) {
        attendSplit(g / splits.n, splits, g % splits.n);
        barrier(); // the next item's queries take the place of this one's
    }
}

// Embed starts the residual stream.
layout(buffer_reference, scalar, buffer_reference_align = 8) readonly restrict buffer Embed {
    uint kind, groups;
    uint64_t embedding; // (d, vocab) as in moe.Layout
    uint64_t ids;       // (context + 1): of the sequence
    uint64_t h;         // (d)
    uint dtype;
    uint vocab;         // outputs of the layout
};

void embed(Embed e) {
    // What follows a logit that is not finite is no token, and is thrown away.
    const uint id = min(UintIn(e.ids).v[pc.position], e.vocab - 1);
    const uint step = THREADS * gl_NumWorkGroups.x;
    for (uint d = gl_GlobalInvocationID.x; d < 4 * D4; d += step) {
        float v;
        if (e.dtype == F32) v = FloatIn(e.embedding).v[d * e.vocab + id];
        else v = pair(e.dtype, UintIn(e.embedding).v[d / 2 * e.vocab + id])[d % 2];
        FloatShared(e.h).v[d] = v;
    }
}
