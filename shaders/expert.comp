#version 460
// One product of many experts at once: out = act(W · in) for each tile of a flat list.
//
//   lanes side by side own 4 outputs each; SPLITS groups of LANES split the inputs
//
//             outputs n ->                      in:  (quad, k) of vec4: 4 rows side by side
//           +----+----+-- LANES --+             out: (quad, n) of vec4; DOWN: (row, n)
//   k  s=0  | 16 B    |           |
//      s=1  | a lane  |           |             weights: (k, n), see moe.Layout; a 16-byte
//      ...  +----+----+-----------+             load is 4 outputs of one k (f32) or of two
//
// Every weight is read from memory once for all rows of a tile. Inputs are staged in shared
// memory, where all lanes of a split read the same address. Partial sums are added up in the
// order of the splits, so that a row's result depends on nothing but its inputs.
//
// A tile's work grows with its rows, four by four: there is a loop for each number of quads,
// so that one dispatch serves experts of few rows and of many.
//
// Built once for each storage type (F32, F16, BF16) and each product: UP_GELU (first
// product of gelu), UP_SWIGLU (gate and up fused), DOWN (second product, no activation).
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint THREADS = 256;
layout(constant_id = 1) const uint ROWS = 4;    // of a tile, at most
layout(constant_id = 2) const uint LANES = 32;
layout(constant_id = 3) const uint STAGED = 256; // inputs in shared memory at a time
layout(constant_id = 4) const uint SHARED = 1024; // max(QUADS · STAGED, 4 · THREADS)
const uint QUADS = (ROWS + 3) / 4;
const uint SPLITS = THREADS / LANES;
const uint STEP = 8; // inputs that a split takes at a time; d_model and d_hidden are multiples

struct Tile {
    uint64_t slot; // address of the expert
    uint quad;     // first quad of rows
    uint rows;     // 1..ROWS
};
layout(buffer_reference, scalar, buffer_reference_align = 16) readonly restrict buffer Tiles {
    Tile v[];
};

layout(push_constant, scalar) uniform Push {
    uint64_t tiles;
    uint64_t src;    // (quads, inputs) of vec4
    uint64_t dst;    // (quads, outputs) of vec4; DOWN: (rows, outputs)
    uint64_t weight; // byte offset of the matrix inside a slot
    uint64_t gate;   // byte offset of the gate matrix (UP_SWIGLU)
    uint inputs;
    uint outputs;
    uint first;      // tile of the first workgroup row
} pc;

shared vec4 sh[SHARED];

#ifdef F32
#define WEIGHTS Vec4In
// A step's weights of four outputs: w[k] holds the outputs of input k.
void load(Vec4In m, uint at, uint stride, out vec4 w[STEP]) {
    [[unroll]] for (uint k = 0; k < STEP; k++) w[k] = m.v[at + k * stride];
}
#else
#define WEIGHTS UVec4In
#ifdef F16
vec2 pair(uint bits) { return unpackHalf2x16(bits); }
#else
vec2 pair(uint bits) { return uintBitsToFloat(uvec2(bits << 16, bits & 0xffff0000u)); }
#endif
// Pairs of inputs are interleaved: 16 bytes are four outputs of two inputs.
void load(UVec4In m, uint at, uint stride, out vec4 w[STEP]) {
    uvec4 raw[STEP / 2];
    [[unroll]] for (uint k = 0; k < STEP / 2; k++) raw[k] = m.v[at + k * stride];
    [[unroll]] for (uint k = 0; k < STEP / 2; k++) {
        vec2 a = pair(raw[k].x), b = pair(raw[k].y), c = pair(raw[k].z), d = pair(raw[k].w);
        w[2 * k] = vec4(a.x, b.x, c.x, d.x);
        w[2 * k + 1] = vec4(a.y, b.y, c.y, d.y);
    }
}
#endif

vec4 acc[ROWS]; // of one row: four outputs
#ifdef UP_SWIGLU
vec4 accGate[ROWS];
#endif

// columnsOf returns output c of the four rows of quad q, from accumulators a.
#define COLUMN(a, q, c) \
    vec4(a[min(4 * q, ROWS - 1)][c], a[min(4 * q + 1, ROWS - 1)][c], \
         a[min(4 * q + 2, ROWS - 1)][c], a[min(4 * q + 3, ROWS - 1)][c])

// sum adds up one output's partial results over the splits.
vec4 sum(uint column) {
    vec4 v = sh[column];
    for (uint s = 1; s < SPLITS; s++) v += sh[s * LANES * 4 + column];
    return v;
}

// multiply adds up a tile of so many quads, which is the same in the whole workgroup.
void multiply(const uint quads, Tile tile, bool inside) {
    const uint tid = gl_LocalInvocationID.x, lane = tid % LANES, split = tid / LANES;
    const uint n0 = gl_WorkGroupID.x * LANES * 4;
    Vec4In src = Vec4In(pc.src);
    WEIGHTS weight = WEIGHTS(tile.slot + pc.weight);
#ifdef UP_SWIGLU
    WEIGHTS gate = WEIGHTS(tile.slot + pc.gate);
#endif
    const uint stride = pc.outputs / 4; // units of 16 bytes from one k (or pair) to the next
#ifdef F32
    const uint kUnit = 1;
#else
    const uint kUnit = 2;
#endif
    for (uint base = 0; base < pc.inputs; base += STAGED) {
        barrier();
        for (uint i = tid; i < quads * STAGED; i += THREADS) {
            uint q = i / STAGED, k = base + i % STAGED;
            sh[i] = k < pc.inputs ? src.v[(tile.quad + q) * pc.inputs + k] : vec4(0.0);
        }
        barrier();
        for (uint at = split * STEP; at < STAGED; at += SPLITS * STEP) {
            const uint k = base + at;
            if (k >= pc.inputs || !inside) break;
            const uint from = k / kUnit * stride + n0 / 4 + lane;
            vec4 w[STEP];
            load(weight, from, stride, w);
#ifdef UP_SWIGLU
            vec4 g[STEP];
            load(gate, from, stride, g);
#endif
            [[unroll]] for (uint u = 0; u < STEP; u++) {
                [[unroll]] for (uint q = 0; q < quads; q++) {
                    const vec4 x = sh[q * STAGED + at + u];
                    [[unroll]] for (uint i = 0; i < 4; i++) {
                        const uint r = 4 * q + i;
                        if (r < ROWS) {
                            acc[r] = fma(w[u], vec4(x[i]), acc[r]);
#ifdef UP_SWIGLU
                            accGate[r] = fma(g[u], vec4(x[i]), accGate[r]);
#endif
                        }
                    }
                }
            }
        }
    }
}

void main() {
    const uint tid = gl_LocalInvocationID.x, lane = tid % LANES;
    const uint n0 = gl_WorkGroupID.x * LANES * 4;
    const Tile tile = Tiles(pc.tiles).v[pc.first + gl_WorkGroupID.y];
    const uint quads = (tile.rows + 3) / 4;
    const bool inside = n0 + lane * 4 < pc.outputs;

    [[unroll]] for (uint r = 0; r < ROWS; r++) {
        acc[r] = vec4(0.0);
#ifdef UP_SWIGLU
        accGate[r] = vec4(0.0);
#endif
    }
    if (QUADS > 3 && quads == 4) multiply(4, tile, inside);
    else if (QUADS > 2 && quads == 3) multiply(3, tile, inside);
    else if (QUADS > 1 && quads == 2) multiply(2, tile, inside);
    else multiply(1, tile, inside);

    [[unroll]] for (uint q = 0; q < QUADS; q++) {
        if (q >= quads) break;
        vec4 y[(4 * LANES + THREADS - 1) / THREADS]; // outputs this thread finishes
#ifdef UP_SWIGLU
        barrier();
        [[unroll]] for (uint c = 0; c < 4; c++) sh[tid * 4 + c] = COLUMN(accGate, q, c);
        barrier();
        [[unroll]] for (uint i = 0; i < y.length(); i++)
            if (i * THREADS + tid < 4 * LANES) y[i] = sum(i * THREADS + tid);
#endif
        barrier();
        [[unroll]] for (uint c = 0; c < 4; c++) sh[tid * 4 + c] = COLUMN(acc, q, c);
        barrier();
        [[unroll]] for (uint i = 0; i < y.length(); i++) {
            const uint column = i * THREADS + tid;
            if (column < 4 * LANES && n0 + column < pc.outputs) {
                vec4 v = sum(column);
#ifdef UP_GELU
                v = vec4(gelu(v.x), gelu(v.y), gelu(v.z), gelu(v.w));
#endif
#ifdef UP_SWIGLU
                v *= vec4(silu(y[i].x), silu(y[i].y), silu(y[i].z), silu(y[i].w));
#endif
#ifdef DOWN
                [[unroll]] for (uint r = 0; r < 4; r++)
                    if (4 * q + r < tile.rows)
                        FloatIO(pc.dst).v[(4 * (tile.quad + q) + r) * pc.outputs + n0 + column] = v[r];
#else
                Vec4Out(pc.dst).v[(tile.quad + q) * pc.outputs + n0 + column] = v;
#endif
            }
        }
    }
}
