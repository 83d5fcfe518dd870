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
//   STREAM  h = base + Σ weight × (row of x); x = h · norm        (rows, x_parts, inputs)
//           The norm's scale depends on all inputs: it is applied to the product where one
//           part has them all; else the squares are left to the reader.
//   GELU    act(first matrix's)                                   (rows, 1, x_parts, inputs)
//   SWIGLU  silu(second matrix's) · first's                       (rows, 2, x_parts, inputs)

const uint PLAIN = 0, STREAM = 1, GELU = 2, SWIGLU = 3; // p.source
const uint F32 = 0, F16 = 1, BF16 = 2;                  // p.dtype
const uint LOADS = 4;

layout(buffer_reference, scalar, buffer_reference_align = 8) readonly restrict buffer Product {
    uint kind, groups;
    uint64_t weight;  // the matrix; of experts its offset in a slot
    uint64_t gate;    // offset of the second matrix
    uint64_t x;
    uint64_t dst;
    uint64_t tiles;   // of experts: those that the router planned; else 0
    uint64_t base;    // STREAM: (inputs)
    uint64_t weights; // STREAM: (rows)
    uint64_t norm;    // STREAM: (inputs)
    uint64_t h;       // STREAM: (inputs)
    uint64_t squares; // STREAM: (parts), or 0
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
};

const uint POOL = MOST4 + THREADS > 4 * THREADS ? MOST4 + THREADS : 4 * THREADS;
shared vec4 pool[POOL];      // inputs, then the splits' sums; attention has it, too
shared float halves[THREADS]; // sums of some splits

vec2 pair(uint dtype, uint bits) {
    return dtype == F16 ? unpackHalf2x16(bits) : uintBitsToFloat(uvec2(bits << 16, bits & 0xffff0000u));
}

// activated is four inputs of a second product.
vec4 activated(Product p, uint row, uint i) {
    Vec4Shared x = Vec4Shared(p.x);
    const uint each = p.inputs / 4, matrices = p.source == SWIGLU ? 2 : 1;
    vec4 up = vec4(0.0), gate = vec4(0.0);
    for (uint n = 0; n < p.x_parts; n++) {
        up += x.v[(row * matrices * p.x_parts + n) * each + i];
        if (p.source == SWIGLU) gate += x.v[((row * 2 + 1) * p.x_parts + n) * each + i];
    }
    if (p.source == SWIGLU) return up * vec4(silu(gate.x), silu(gate.y), silu(gate.z), silu(gate.w));
    return vec4(gelu(up.x), gelu(up.y), gelu(up.z), gelu(up.w));
}

// streamed is four elements of the residual stream with what the experts add.
vec4 streamed(Product p, uint i) {
    vec4 v = vec4(0.0);
    for (uint n = 0; n < p.x_parts && p.rows > 0; n++)
        [[unroll]] for (uint row = 0; row < TOP_K; row++) // all loads at once
            v = fma(vec4(FloatShared(p.weights).v[row]),
                    Vec4Shared(p.x).v[(row * p.x_parts + n) * (p.inputs / 4) + i], v);
    return v + Vec4Shared(p.base).v[i];
}

// stage brings n4 times four inputs of a part to the pool. The first item of a part also keeps
// the stream and its squares. It returns what the products are to be multiplied by.
float stage(Product p, uint row, uint part, uint n4, bool first) {
    const uint tid = gl_LocalInvocationID.x, begin = part * p.part / 4;
    float squares = 0.0;
    for (uint i = tid; i < n4; i += THREADS) {
        vec4 v;
        if (p.source == PLAIN) {
            v = Vec4Shared(p.x).v[begin + i];
        } else if (p.source == STREAM) {
            v = streamed(p, begin + i);
            if (first) Vec4Shared(p.h).v[begin + i] = v;
            squares += dot(v, v);
            v *= Vec4In(p.norm).v[begin + i];
        } else {
            v = activated(p, row, begin + i);
        }
        pool[i] = v;
    }
    float scale = 1.0;
    if (p.source == STREAM && (first || p.parts == 1)) {
        squares = sumOfAll(squares);
        if (p.parts == 1) scale = 1.0 / sqrt(squares / float(p.d_model) + p.epsilon);
        else if (tid == 0) FloatShared(p.squares).v[part] = squares;
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

void product(Product p) {
    const uint tid = gl_LocalInvocationID.x;
    const uint lanes = 1u << p.lanes, splits = THREADS >> p.lanes, columns = 4 * lanes;
    const uint lane = tid % lanes, split = tid / lanes;
    const uint dtype = p.dtype, stride = p.outputs / 4; // units of 16 bytes
    const uint unit = dtype == F32 ? 1 : 2;             // inputs of a load
    const uint turn = splits * LOADS * unit;
    const uint tiles = (p.outputs + columns - 1) / columns;
    const uint items = p.groups * (p.tiles != 0ul ? pc.rows : 1);
    Tiles list = Tiles(pc.tiles != 0ul ? pc.tiles : p.tiles);
    uint staged = 0xffffffffu; // the row and part whose inputs are there
    float scale = 1.0;
    for (uint g = gl_WorkGroupID.x; g < items; g += gl_NumWorkGroups.x) {
        const uint tile = g % tiles, part = g / tiles % p.parts;
        const uint matrix = g / tiles / p.parts % p.matrices;
        uint row = g / p.groups;
        uint64_t from = p.weight;
        if (p.tiles != 0ul) {
            from = list.v[row].slot + (matrix == 0 ? p.weight : p.gate);
            row = list.v[row].quad;
        }
        UVec4In weight = UVec4In(from);
        const uint begin = part * p.part, n = min(p.part, p.inputs - begin);
        const uint own = tile * lanes + lane + begin / unit * stride;
        uint k = split * LOADS * unit;
        const uint end = tile * lanes + lane < stride ? n : 0;
        uvec4 ahead[LOADS];
        if (k < end) take(weight, own + k / unit * stride, stride, ahead);
        const uint inputs = (p.source >= GELU ? row * p.parts : 0) + part;
        if (inputs != staged) scale = stage(p, row, part, n / 4, tile == 0);
        staged = inputs;
        vec4 acc = vec4(0.0);
        while (k < end) {
            const uvec4 raw[LOADS] = ahead;
            const uint next = k + turn;
            if (next < end) take(weight, own + next / unit * stride, stride, ahead);
            acc = multiplied(dtype, raw, k, acc);
            k = next;
        }
        const float v = summed(acc, columns, splits);
        const uint column = tile * columns + tid;
        if (tid < columns && column < p.outputs)
            FloatShared(p.dst).v[((row * p.matrices + matrix) * p.parts + part) * p.outputs + column] = v * scale;
    }
}
