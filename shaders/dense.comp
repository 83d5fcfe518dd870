#version 460
// Dense product of a few rows: out = x · Wᵀ, the weights in the layout of moe.Layout.
//
//   a lane owns 4 outputs; SPLITS groups of LANES split the inputs of a workgroup, and
//   gl_NumWorkGroups.z workgroups those of the product
//
//             outputs n ->                      x:   (rows, inputs)
//           +----+----+-- LANES --+             out: (parts, rows, outputs), one part for
//   k  s=0  | 16 B    |           |                  each z: what reads it adds them up
//      s=1  | a lane  |           |
//      ...  +----+----+-----------+             weights: (k, n); a 16-byte load is 4 outputs
//                                               of one k (f32) or of two (f16, bf16)
//
// As in expert.comp every weight is read once for all rows of a tile, inputs are staged in
// shared memory, four rows side by side, and partial sums are added up in a fixed order.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint THREADS = 256;
layout(constant_id = 1) const uint ROWS = 4;      // of a tile, at most
layout(constant_id = 2) const uint LANES = 32;
layout(constant_id = 3) const uint STAGED = 256;  // inputs in shared memory at a time
layout(constant_id = 4) const uint SHARED = 1024; // max(QUADS · STAGED, 4 · THREADS)
const uint QUADS = (ROWS + 3) / 4;
const uint SPLITS = THREADS / LANES;
const uint STEP = 8; // inputs that a split takes at a time; inputs are a multiple
const bool AHEAD = ROWS <= 2; // with more rows arithmetic hides the loads, and registers are dear

layout(push_constant, scalar) uniform Push {
    uint64_t x;
    uint64_t dst;
    uint64_t weight;
    uint rows;
    uint inputs;
    uint outputs; // padded, a multiple of 8
    uint part;    // inputs of one part, a multiple of 8
} pc;

shared vec4 sh[SHARED];

#ifdef F32
#define WEIGHTS Vec4In
const uint K_UNIT = 1;
#define RAW vec4
#else
#define WEIGHTS UVec4In
const uint K_UNIT = 2; // pairs of inputs are interleaved: four outputs of two inputs
#define RAW uvec4
#ifdef F16
vec2 pair(uint bits) { return unpackHalf2x16(bits); }
#else
vec2 pair(uint bits) { return uintBitsToFloat(uvec2(bits << 16, bits & 0xffff0000u)); }
#endif
#endif
const uint LOADS = STEP / K_UNIT; // of 16 bytes in a step

// load reads a step's weights of four outputs as they are stored.
void load(WEIGHTS m, uint at, uint stride, out RAW raw[LOADS]) {
    [[unroll]] for (uint k = 0; k < LOADS; k++) raw[k] = m.v[at + k * stride];
}

// unpack makes w[k] the weights of input k.
void unpack(RAW raw[LOADS], out vec4 w[STEP]) {
#ifdef F32
    w = raw;
#else
    [[unroll]] for (uint k = 0; k < LOADS; k++) {
        vec2 a = pair(raw[k].x), b = pair(raw[k].y), c = pair(raw[k].z), d = pair(raw[k].w);
        w[2 * k] = vec4(a.x, b.x, c.x, d.x);
        w[2 * k + 1] = vec4(a.y, b.y, c.y, d.y);
    }
#endif
}

// stage brings inputs base .. base + STAGED of the tile's rows to shared memory.
void stage(uint row0, uint base, uint end) {
    FloatIn x = FloatIn(pc.x);
    for (uint i = gl_LocalInvocationID.x; i < QUADS * STAGED; i += THREADS) {
        const uint row = row0 + i / STAGED * 4, k = base + i % STAGED;
        vec4 v = vec4(0.0);
        [[unroll]] for (uint r = 0; r < min(4, ROWS); r++)
            if (k < end && row + r < pc.rows) v[r] = x.v[(row + r) * pc.inputs + k];
        sh[i] = v;
    }
}

// sum adds up one output's partial results over the splits.
vec4 sum(uint column) {
    vec4 v = sh[column];
    for (uint s = 1; s < SPLITS; s++) v += sh[s * LANES * 4 + column];
    return v;
}

void main() {
    const uint tid = gl_LocalInvocationID.x, lane = tid % LANES, split = tid / LANES;
    const uint n0 = gl_WorkGroupID.x * LANES * 4, row0 = gl_WorkGroupID.y * ROWS;
    const uint begin = gl_WorkGroupID.z * pc.part, end = min(begin + pc.part, pc.inputs);
    const bool inside = n0 + lane * 4 < pc.outputs;
    const uint stride = pc.outputs / 4; // units of 16 bytes from one k (or pair) to the next
    WEIGHTS weight = WEIGHTS(pc.weight);

    vec4 acc[ROWS]; // of one row: four outputs
    [[unroll]] for (uint r = 0; r < ROWS; r++) acc[r] = vec4(0.0);
    const uint own = n0 / 4 + lane;
    for (uint base = begin; base < end; base += STAGED) {
        RAW ahead[LOADS]; // with few rows: the next step's weights, on their way
        const uint first = base + split * STEP;
        if (AHEAD && inside && first < end) load(weight, first / K_UNIT * stride + own, stride, ahead);
        barrier();
        stage(row0, base, end);
        barrier();
        for (uint at = split * STEP; at < STAGED; at += SPLITS * STEP) {
            const uint k = base + at, next = k + SPLITS * STEP;
            if (k >= end || !inside) break;
            RAW raw[LOADS];
            vec4 w[STEP];
            if (AHEAD) raw = ahead;
            else load(weight, k / K_UNIT * stride + own, stride, raw);
            if (AHEAD && next < min(base + STAGED, end))
                load(weight, next / K_UNIT * stride + own, stride, ahead);
            unpack(raw, w);
            [[unroll]] for (uint u = 0; u < STEP; u++) {
                [[unroll]] for (uint q = 0; q < QUADS; q++) {
                    const vec4 x = sh[q * STAGED + at + u];
                    [[unroll]] for (uint i = 0; i < 4; i++)
                        if (4 * q + i < ROWS) acc[4 * q + i] = fma(w[u], vec4(x[i]), acc[4 * q + i]);
                }
            }
        }
    }

    FloatIO dst = FloatIO(pc.dst);
    const uint part0 = gl_WorkGroupID.z * pc.rows;
    [[unroll]] for (uint q = 0; q < QUADS; q++) {
        barrier();
        [[unroll]] for (uint c = 0; c < 4; c++)
            sh[tid * 4 + c] = vec4(
                acc[min(4 * q, ROWS - 1)][c], acc[min(4 * q + 1, ROWS - 1)][c],
                acc[min(4 * q + 2, ROWS - 1)][c], acc[min(4 * q + 3, ROWS - 1)][c]);
        barrier();
        for (uint column = tid; column < 4 * LANES; column += THREADS) {
            if (n0 + column >= pc.outputs) break;
            const vec4 v = sum(column);
            [[unroll]] for (uint i = 0; i < 4; i++) {
                const uint row = row0 + 4 * q + i;
                if (4 * q + i < ROWS && row < pc.rows)
                    dst.v[(part0 + row) * pc.outputs + n0 + column] = v[i];
            }
        }
    }
}
