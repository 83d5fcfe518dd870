// Products of one row: dst = W · x, the weights in the layout of moe.Layout. An op is cut into
// items, of which a workgroup takes every gl_NumWorkGroups.x-th:
//
//   (row, matrix, part of the inputs, tile of 4 · lanes outputs)
//
// A lane owns 4 outputs; THREADS / lanes splits take turns with the inputs of the part, LOADS of
// 16 bytes each. The next turn's weights are on their way meanwhile, and the first turn's
// before the inputs are there. What is written are the sums of parts, (row, matrix, part,
// output), which the reader adds up.
//
// Its inputs x are made from what the op before left:
//
//   PLAIN   x                                                     (inputs)
//   STREAM  h = base + Σ rows of x; x = h · norm                  (rows, x_parts, inputs)
//           The norm's scale depends on all inputs: it is applied to the product where one
//           part has them all; else the squares are left to the reader.
//   GELU    act(first matrix's)                                   (rows, 1, x_parts, inputs)
//   SWIGLU  silu(second matrix's) · first's                       (rows, 2, x_parts, inputs)
//   ATTENDED  Σ over the splits of attention, weighted            (splits, heads, DIM)

const uint PLAIN = 0, STREAM = 1, GELU = 2, SWIGLU = 3, ATTENDED = 4; // op.source
const uint F32 = 0, F16 = 1, BF16 = 2;                                // op.dtype
const uint LOADS = 4;
const uint MERGED = 8; // splits of attention that a thread asks for at a time

struct Product {
    uint kind, groups;
    uint64_t weight;  // the matrix; of experts its offset in a slot
    uint64_t gate;    // offset of the second matrix
    uint64_t x;
    uint64_t dst;
    uint64_t tiles;   // of experts: those that the router planned; else 0
    uint64_t base;    // STREAM: (inputs); ATTENDED: (splits, heads) of maximum and sum
    uint64_t weights; // of experts: (rows) by which their outputs are multiplied, or 0
    uint64_t norm;    // STREAM: (inputs)
    uint64_t h;       // STREAM: (inputs)
    uint64_t squares; // STREAM: (parts), or 0
    uint64_t route;   // of the first product of experts: the layer's Route
    uint source, dtype;
    uint matrices;    // 1, or 2 with a gate
    uint inputs;
    uint outputs;     // padded, a multiple of 8
    uint part, parts; // a part is a multiple of 8
    uint lanes;       // binary logarithm
    uint x_parts;
    uint rows;        // STREAM: of x
    uint d_model;     // STREAM: values that the squares are the mean of
    float epsilon;
    uint heads, most; // ATTENDED
};
layout(buffer_reference, scalar, buffer_reference_align = 8) readonly restrict buffer ProductOp {
    Product v;
};
shared Product op; // the op under way
shared uint64_t slot[TOP_K];
shared uint quad[TOP_K];     // the row that an expert's is
shared float share[TOP_K];   // of a row in the layer's sum

shared float halves[THREADS]; // sums of some splits; ATTENDED: what theirs count for

vec2 pair(uint dtype, uint bits) {
    if (dtype == F16) return unpackHalf2x16(bits);
    return uintBitsToFloat(uvec2(bits << 16, bits & 0xffff0000u));
}

// activated is four inputs of a second product.
vec4 activated(uint row, uint i) {
    Vec4Shared x = Vec4Shared(op.x);
    const uint each = op.inputs / 4, matrices = op.source == SWIGLU ? 2 : 1;
    vec4 up = vec4(0.0), gate = vec4(0.0);
    for (uint n = 0; n < op.x_parts; n++) {
        up += x.v[(row * matrices * op.x_parts + n) * each + i];
        if (op.source == SWIGLU) gate += x.v[((row * 2 + 1) * op.x_parts + n) * each + i];
    }
    if (op.source == SWIGLU)
        return up * vec4(silu(gate.x), silu(gate.y), silu(gate.z), silu(gate.w));
    return vec4(gelu(up.x), gelu(up.y), gelu(up.z), gelu(up.w));
}

// streamed is four elements of the residual stream with what the experts add.
vec4 streamed(uint i) {
    vec4 v = vec4(0.0);
    for (uint n = 0; n < op.x_parts && op.rows > 0; n++)
        [[unroll]] for (uint row = 0; row < TOP_K; row++) // all loads at once
            v += Vec4Shared(op.x).v[(row * op.x_parts + n) * (op.inputs / 4) + i];
    return v + Vec4Shared(op.base).v[i];
}

#ifdef TEXT
// stageAttended brings n4 times four values of attention to the pool, the splits' put together.
// Their maxima may differ: what each counts for is found once for each head. There are no more
// splits of so many heads than threads.
void stageAttended(uint begin, uint n4) {
    const uint tid = gl_LocalInvocationID.x, splits = splitsOf(op.most).n;
    const uint head0 = begin / DIM4, heads = (begin + n4 - 1) / DIM4 - head0 + 1;
    const uint split = tid / heads, head = tid % heads;
    const bool counts = tid < heads * splits && head0 + head < op.heads;
    vec2 own = vec2(NONE, 0.0);
    if (counts) own = Vec2Shared(op.base).v[split * op.heads + head0 + head];
    pool[MOST4 + tid].xy = own;
    barrier();
    if (counts) {
        float top = NONE, sum = 0.0;
        for (uint s = 0; s < splits; s++) top = max(top, pool[MOST4 + s * heads + head].x);
        for (uint s = 0; s < splits; s++) {
            const vec2 state = pool[MOST4 + s * heads + head].xy;
            sum = fma(exp(state.x - top), state.y, sum);
        }
        halves[tid] = exp(own.x - top) / sum;
    }
    barrier();
    for (uint i = tid; i < n4; i += THREADS) {
        const uint h = (begin + i) / DIM4 - head0;
        vec4 v = vec4(0.0);
        for (uint s0 = 0; s0 < splits && head0 + h < op.heads; s0 += MERGED) {
            vec4 some[MERGED]; // all loads at once
            [[unroll]] for (uint n = 0; n < MERGED; n++)
                some[n] = Vec4Shared(op.x).v[min(s0 + n, splits - 1) * op.heads * DIM4 + begin + i];
            [[unroll]] for (uint n = 0; n < MERGED; n++)
                if (s0 + n < splits) v = fma(vec4(halves[(s0 + n) * heads + h]), some[n], v);
        }
        pool[i] = v;
    }
    barrier();
}
#endif

// stage brings n4 times four inputs of a part to the pool. The first item of a part also keeps
// the stream and its squares. It returns what the products are to be multiplied by.
float stage(uint row, uint part, uint n4, bool first) {
    const uint tid = gl_LocalInvocationID.x, begin = part * op.part / 4;
#ifdef TEXT
    if (op.source == ATTENDED) {
        stageAttended(begin, n4);
        return 1.0;
    }
#endif
    float squares = 0.0;
    for (uint i = tid; i < n4; i += THREADS) {
        vec4 v;
        if (op.source == PLAIN) {
            v = Vec4Shared(op.x).v[begin + i];
        } else if (op.source == STREAM) {
            v = streamed(begin + i);
            if (first) Vec4Shared(op.h).v[begin + i] = v;
            squares += dot(v, v);
            v *= Vec4In(op.norm).v[begin + i];
        } else {
            v = activated(row, begin + i);
        }
        pool[i] = v;
    }
    float scale = 1.0;
    if (op.source == STREAM && (first || op.parts == 1)) {
        squares = sumOfAll(squares);
        if (op.parts == 1) scale = 1.0 / sqrt(squares / float(op.d_model) + op.epsilon);
        else if (tid == 0) FloatShared(op.squares).v[part] = squares;
    }
    barrier();
    return scale;
}

// take asks for LOADS loads of weights from at on.
void take(UVec4In m, uint at, uint stride, out uvec4 raw[LOADS]) {
    [[unroll]] for (uint j = 0; j < LOADS; j++) raw[j] = m.v[at + j * stride];
}

// multiplied adds LOADS loads of weights times inputs from k on to acc.
vec4 multiplied(uint dtype, uvec4 raw[LOADS], uint k, vec4 acc) {
    if (dtype == F32) {
        const vec4 x = pool[k / 4];
        [[unroll]] for (uint j = 0; j < LOADS; j++)
            acc = fma(uintBitsToFloat(raw[j]), vec4(x[j]), acc);
        return acc;
    }
    [[unroll]] for (uint j = 0; j < LOADS; j++) {
        const vec2 a = pair(dtype, raw[j].x), b = pair(dtype, raw[j].y);
        const vec2 c = pair(dtype, raw[j].z), d = pair(dtype, raw[j].w);
        const vec4 x = pool[k / 4 + j / 2];
        acc = fma(vec4(a.x, b.x, c.x, d.x), vec4(x[2 * (j % 2)]), acc);
        acc = fma(vec4(a.y, b.y, c.y, d.y), vec4(x[2 * (j % 2) + 1]), acc);
    }
    return acc;
}

// summed adds up the splits' sums of one output, in two steps; all threads have part in it.
float summed(vec4 acc, uint columns, uint splits) {
    const uint tid = gl_LocalInvocationID.x, column = tid % columns, each = THREADS / columns;
    pool[MOST4 + tid] = acc;
    barrier();
    float v = 0.0;
    for (uint s = tid / columns; s < splits; s += each) {
        const uint at = s * columns + column;
        v += pool[MOST4 + at / 4][at % 4];
    }
    halves[tid] = v;
    barrier();
    v = 0.0;
    for (uint i = 0; i < each; i++) v += halves[i * columns + column];
    return v;
}

// Item is a workgroup's share of a product.
struct Item {
    uint row, matrix, part, tile;
};

Item itemOf(uint g) {
    const uint columns = 4u << op.lanes, tiles = (op.outputs + columns - 1) / columns;
    Item i;
    i.tile = g % tiles;
    g /= tiles;
    i.part = g % op.parts;
    g /= op.parts;
    i.matrix = g % op.matrices;
    i.row = g / op.matrices;
    return i;
}

// matrixOf is the address of an item's matrix.
uint64_t matrixOf(Item i) {
    if (op.tiles == 0ul) return op.weight;
    return slot[i.row] + (i.matrix == 0 ? op.weight : op.gate);
}

// inputsOf are those of an item's part, for this lane: none where the outputs end.
uint inputsOf(Item i) {
    const uint lane = gl_LocalInvocationID.x % (1u << op.lanes);
    const bool inside = (i.tile << op.lanes) + lane < op.outputs / 4;
    return inside ? min(op.part, op.inputs - i.part * op.part) : 0;
}

// findExperts leaves the experts of all rows in shared memory: those that the layer's route
// chose, which every workgroup finds out for itself, or those of a list.
void findExperts() {
    const uint tid = gl_LocalInvocationID.x;
    if (flag(DEFERRED) && op.route != 0ul) {
        decide(gl_WorkGroupID.x == 0);
        for (uint k = tid; k < TOP_K; k += THREADS) {
            const uint n = rowOf(chosen[k]);
            slot[n] = address[chosen[k]];
            quad[n] = n;
            share[n] = 1.0;
        }
    } else {
        Tiles list = Tiles(pc.tiles != 0ul ? pc.tiles : op.tiles);
        for (uint n = tid; n < pc.rows; n += THREADS) {
            slot[n] = list.v[n].slot;
            quad[n] = list.v[n].quad;
            share[n] = op.weights != 0ul ? FloatShared(op.weights).v[quad[n]] : 1.0;
        }
    }
    barrier();
}

// missing tells whether one of the experts has no slot.
bool missing() {
    bool any = false;
    for (uint k = 0; k < TOP_K; k++) any = any || slot[k] == 0ul;
    return any;
}

// product computes a workgroup's items, and tells whether it could. Of most products a workgroup
// has one; to ask for the next one's weights before this one's sums would cost all of them
// registers.
bool product() {
    const uint tid = gl_LocalInvocationID.x;
    const uint lanes = 1u << op.lanes, splits = THREADS >> op.lanes, columns = 4 * lanes;
    const uint lane = tid % lanes, split = tid / lanes;
    const uint dtype = op.dtype, stride = op.outputs / 4; // units of 16 bytes
    const uint unit = dtype == F32 ? 1 : 2;               // inputs of a load
    const uint turn = splits * LOADS * unit;
    const bool experts = op.tiles != 0ul;
    const uint items = op.groups * (experts ? pc.rows : 1);
    if (experts) findExperts();
    if (flag(UNTIL) && op.route != 0ul && missing()) return false;
    uint staged = 0xffffffffu; // the row and part whose inputs are there
    float scale = 1.0;
    for (uint g = gl_WorkGroupID.x; g < items; g += gl_NumWorkGroups.x) {
        const Item i = itemOf(g);
        UVec4In weight = UVec4In(matrixOf(i));
        const uint first = split * LOADS * unit, end = inputsOf(i);
        const uint own = (i.tile << op.lanes) + lane + i.part * op.part / unit * stride;
        uvec4 ahead[LOADS];
        if (first < end) take(weight, own + first / unit * stride, stride, ahead);
        const uint row = experts ? quad[i.row] : 0;
        const uint inputs = (op.source >= GELU ? row * op.parts : 0) + i.part;
        const uint n = min(op.part, op.inputs - i.part * op.part);
        if (inputs != staged) scale = stage(row, i.part, n / 4, i.tile == 0);
        staged = inputs;
        vec4 acc = vec4(0.0);
        for (uint k = first; k < end; k += turn) {
            const uvec4 raw[LOADS] = ahead;
            if (k + turn < end) take(weight, own + (k + turn) / unit * stride, stride, ahead);
            acc = multiplied(dtype, raw, k, acc);
        }
        const float v = summed(acc, columns, splits);
        const uint column = i.tile * columns + tid;
        if (experts) scale = share[i.row];
        if (tid < columns && column < op.outputs)
            FloatShared(op.dst).v[((row * op.matrices + i.matrix) * op.parts + i.part) * op.outputs
                                  + column] = v * scale;
    }
    return true;
}
