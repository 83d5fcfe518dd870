#version 460
// Between projection and attention: norms of queries and keys, where the model has them,
// rotary positions, and the keys and values of these tokens written to the cache. One
// workgroup a head (queries, then keys, then values) and token.
//
// Element i of a head turns with element i + head_dim/2, by an angle from a table.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint THREADS = 64;

layout(buffer_reference, std430, buffer_reference_align = 8) readonly restrict buffer Vec2In {
    vec2 v[];
};

const uint PER_HEAD = 1, WHOLE_ROW = 2; // pc.norm

layout(push_constant, scalar) uniform Push {
    uint64_t qkv;      // (parts, tokens, width): all queries, all keys, all values
    uint64_t q;        // (tokens, heads, dim)
    uint64_t keys;     // (kv_heads, context, dim)
    uint64_t values;   // (kv_heads, context, dim)
    uint64_t turns;    // (context, dim/2): cosine and sine
    uint64_t q_norm;   // (dim) or (heads, dim)
    uint64_t k_norm;   // (dim) or (kv_heads, dim)
    uint heads;
    uint kv_heads;
    uint dim;
    uint tokens;
    uint parts;
    uint width;
    uint position;     // of the first token
    uint context;
    uint norm;
    float epsilon;
} pc;

shared float partial[THREADS];

// projected adds up the parts of one element.
float projected(uint token, uint i) {
    float v = 0.0;
    for (uint p = 0; p < pc.parts; p++)
        v += FloatIn(pc.qkv).v[(p * pc.tokens + token) * pc.width + i];
    return v;
}

// rms is 1 / RMS of n elements from first on.
float rms(uint token, uint first, uint n) {
    const uint tid = gl_LocalInvocationID.x;
    float squares = 0.0;
    for (uint i = tid; i < n; i += THREADS) {
        const float v = projected(token, first + i);
        squares = fma(v, v, squares);
    }
    partial[tid] = squares;
    barrier();
    for (uint m = THREADS / 2; m > 0; m /= 2) {
        if (tid < m) partial[tid] += partial[tid + m];
        barrier();
    }
    return 1.0 / sqrt(partial[0] / float(n) + pc.epsilon);
}

void main() {
    const uint tid = gl_LocalInvocationID.x, head = gl_WorkGroupID.x, token = gl_WorkGroupID.y;
    const uint first = head * pc.dim, at = pc.position + token;
    if (head >= pc.heads + pc.kv_heads) {
        const uint to = ((head - pc.heads - pc.kv_heads) * pc.context + at) * pc.dim;
        for (uint i = tid; i < pc.dim; i += THREADS)
            FloatIO(pc.values).v[to + i] = projected(token, first + i);
        return;
    }
    const bool key = head >= pc.heads;
    const uint group = key ? pc.heads : 0; // first head of its kind
    const uint own = pc.norm == WHOLE_ROW ? (head - group) * pc.dim : 0;
    const uint64_t weight = key ? pc.k_norm : pc.q_norm;
    float scale = 1.0;
    if (pc.norm == PER_HEAD) scale = rms(token, first, pc.dim);
    if (pc.norm == WHOLE_ROW)
        scale = rms(token, group * pc.dim, (key ? pc.kv_heads : pc.heads) * pc.dim);

    FloatIO dst = FloatIO(key ? pc.keys : pc.q);
    const uint to = key ? ((head - group) * pc.context + at) * pc.dim
                        : (token * pc.heads + head) * pc.dim;
    const uint pairs = pc.dim / 2;
    for (uint i = tid; i < pairs; i += THREADS) {
        float a = projected(token, first + i), b = projected(token, first + i + pairs);
        if (pc.norm != 0) {
            a *= scale * FloatIn(weight).v[own + i];
            b *= scale * FloatIn(weight).v[own + i + pairs];
        }
        const vec2 turn = Vec2In(pc.turns).v[at * pairs + i];
        dst.v[to + i] = a * turn.x - b * turn.y;
        dst.v[to + i + pairs] = b * turn.x + a * turn.y;
    }
}
