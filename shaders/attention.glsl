// Causal attention with shared keys, for attend.comp and token_attend.glsl: a workgroup takes
// HEADS query heads of one key head for TOKENS tokens, ROWS rows in all, so that a key or value is
// read once for all of them.
//
//   positions ──block of BLOCK──┬──block──┬── …        a split of the positions
//     scores: SHARE threads side by side a position, all rows
//     values: a thread 4 dimensions of every GROUPS-th position, all rows
//
// Running maximum and sum of each row make the softmax stable: what was added up before a
// larger score came is scaled down.
const uint DIM4 = DIM / 4;
const uint ROWS = HEADS * TOKENS;
const uint BLOCK = THREADS / SHARE;             // positions
const uint GROUPS = THREADS / DIM4;             // DIM4 <= THREADS
const uint LANES = THREADS / ROWS;              // that reduce one row; ROWS <= THREADS
const uint TOGETHER = 4;                        // rows whose shares are added up at a time

shared vec4 query[ROWS * DIM4];     // scaled by 1/√dim
shared float score[ROWS * THREADS]; // (rows, BLOCK, SHARE)
shared float weight[ROWS * BLOCK];  // (rows, BLOCK)
shared float lanes[ROWS * LANES];   // of a row: partial maxima, then sums
shared float highest[ROWS];         // so far
shared float total[ROWS];           // so far
shared float shrink[ROWS];          // what the newest maximum makes of earlier results

#define NONE uintBitsToFloat(0xff800000u) // -infinity

// keyOf and valueOf are four elements, i of the cache, of the position at.
vec4 keyOf(uint64_t keys, uint at, uint i);
vec4 valueOf(uint64_t values, uint at, uint i);

// scores computes a thread's share of one position against all rows.
void scores(uint64_t keys, uint key0, uint at, uint last) {
    const uint tid = gl_LocalInvocationID.x;
    float s[ROWS];
    [[unroll]] for (uint r = 0; r < ROWS; r++) s[r] = 0.0;
    if (at < last) {
        for (uint d = tid % SHARE; d < DIM4; d += SHARE) {
            const vec4 k = keyOf(keys, at, (key0 + at) * DIM4 + d);
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
        const uint end = min(last, pc.position + token0 + row / HEADS + 1);
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

// past adds up the weighted values of the positions from first to last: a thread's share.
void past(uint64_t keys, uint64_t values, uint key0, uint first, uint last, uint token0,
          out vec4 acc[ROWS]) {
    const uint tid = gl_LocalInvocationID.x, lane = tid % DIM4, group = tid / DIM4;
    if (tid < ROWS) {
        highest[tid] = NONE;
        total[tid] = 0.0;
    }
    [[unroll]] for (uint r = 0; r < ROWS; r++) acc[r] = vec4(0.0);
    barrier();
    for (uint base = first; base < last; base += BLOCK) {
        scores(keys, key0, base + tid / SHARE, last);
        barrier();
        weigh(base, last, token0);
        [[unroll]] for (uint r = 0; r < ROWS; r++) acc[r] *= shrink[r];
        const uint there = min(BLOCK, last - base);
        if (group < GROUPS) {
            for (uint i = group; i < there; i += GROUPS) {
                const vec4 v = valueOf(values, base + i, (key0 + base + i) * DIM4 + lane);
                [[unroll]] for (uint r = 0; r < ROWS; r++)
                    acc[r] = fma(vec4(weight[r * BLOCK + i]), v, acc[r]);
            }
        }
        barrier();
    }
}
