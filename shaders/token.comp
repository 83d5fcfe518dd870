#version 460
// A single token's way through a model, as a list of ops that one dispatch works through.
//
// With one token the products are the work of microseconds, and a barrier between two dispatches
// takes about as long as they do. So all workgroups stay, take their share of every op, and
// wait for each other in between:
//
//   workgroup 0   ─share of op i─┐ wait ┌─share of op i+1─┐ wait ┌─ …
//   workgroup 1   ──share────────┤      ├──share──────────┤      ├─ …
//   …                            │ all  │                 │ all  │
//
// which takes as many workgroups as a device runs side by side, and a device that does run
// them side by side. Vulkan promises neither, so the host tries it with an empty list first; where
// it fails, each op is a dispatch of its own. No wait is without end: one that lasts too long
// is told to the host.
//
// What one op writes and another reads is coherent: it goes past the multiprocessors' caches.
// The order of every sum depends on the model and the kind of device alone, not on the number
// of workgroups.
//
// Built with TEXT for whole models, else for layers alone, which have no attention.
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#include "common.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint THREADS = 256;
layout(constant_id = 1) const uint D4 = 512;       // d_model padded, in units of four
layout(constant_id = 2) const uint EXPERTS = 128;  // of a layer
layout(constant_id = 3) const uint TOP_K = 8;
layout(constant_id = 4) const uint DIM = 4;        // of a head, a multiple of 4
layout(constant_id = 5) const uint HEADS = 1;      // of a workgroup of attention
layout(constant_id = 6) const uint MOST4 = 512;    // most inputs of a product's part, in units of four
const uint PER = (D4 + THREADS - 1) / THREADS;

layout(buffer_reference, std430, buffer_reference_align = 4) coherent buffer UintShared {
    uint v[];
};
layout(buffer_reference, std430, buffer_reference_align = 4) coherent buffer FloatShared {
    float v[];
};
layout(buffer_reference, std430, buffer_reference_align = 8) coherent buffer Vec2Shared {
    vec2 v[];
};
layout(buffer_reference, std430, buffer_reference_align = 16) coherent buffer Vec4Shared {
    vec4 v[];
};
struct Tile { // as in expert.comp; here a quad has one row
    uint64_t slot;
    uint quad;
    uint rows;
};
layout(buffer_reference, scalar, buffer_reference_align = 16) coherent buffer Tiles {
    Tile v[];
};
layout(buffer_reference, std430, buffer_reference_align = 4) coherent volatile buffer Meeting {
    uint arrived; // workgroups, at all waits of this dispatch together
    uint left;    // workgroups that have ended
};
layout(buffer_reference, std430, buffer_reference_align = 4) coherent volatile buffer Report {
    uint lost;    // a wait lasted too long; the host's memory, which nobody looks at but then
    uint stopped; // the op whose experts were not all there, with UNTIL
};

layout(push_constant, scalar) uniform Push {
    uint64_t ops;      // OP_BYTES each
    uint64_t meeting;
    uint64_t report;
    uint64_t tiles;    // of the experts' products, or 0: those that the router planned
    uint rows;         // tiles there are
    uint first, last;  // ops to work through
    uint position;     // of the token
    uint flags;
    uint patience;     // rounds of a wait
} pc;

// pc.flags. DEFERRED leaves the choice to the experts' first product; with UNTIL all ends there if
// an expert is not resident.
const uint GIVEN = 1, PLANNED = 2, PREDICT = 4, CHAINED = 8, KEPT = 16, DEFERRED = 32, UNTIL = 64;

bool flag(uint f) { return (pc.flags & f) != 0; }

const uint OP_BYTES = 192;
layout(buffer_reference, scalar, buffer_reference_align = 8) readonly restrict buffer Op {
    uint kind;   // of these
    uint groups; // workgroups that it is made for
};
const uint PRODUCT = 0, ROUTE = 1, COMBINE = 2, EMBED = 3, ATTEND = 4;

const uint MAX_PARTS = 8; // of a product that others add up

// release is a barrier after which one thread's fence covers what all have written.
void release() {
    controlBarrier(gl_ScopeWorkgroup, gl_ScopeWorkgroup,
                   gl_StorageSemanticsBuffer | gl_StorageSemanticsShared, gl_SemanticsAcquireRelease);
}

// parted adds up the parts of element i, which are stride apart, four loads at a time.
vec4 parted(uint64_t x, uint parts, uint stride, uint i) {
    vec4 v = vec4(0.0);
    for (uint n0 = 0; n0 < parts; n0 += 4) {
        [[unroll]] for (uint n = n0; n < n0 + 4; n++) {
            const vec4 part = Vec4Shared(x).v[min(n, parts - 1) * stride + i];
            v += n < parts ? part : vec4(0.0);
        }
    }
    return v;
}

const uint DIM4 = DIM / 4;
const uint SHARE = 16;                    // threads of a position in attention
const uint BLOCK = THREADS / SHARE;       // positions
#define NONE uintBitsToFloat(0xff800000u) // -infinity

// Splits are how attention cuts the past: into n of span positions.
struct Splits {
    uint n, span;
};

Splits splitsOf(uint most) {
    const uint blocks = (pc.position + BLOCK) / BLOCK; // of pc.position + 1 positions
    const uint wanted = max(1, min(blocks, most));
    Splits s;
    s.span = (blocks + wanted - 1) / wanted * BLOCK;
    s.n = (pc.position + s.span) / s.span;
    return s;
}

const uint POOL = MOST4 + THREADS > 2 * THREADS ? MOST4 + THREADS : 2 * THREADS;
shared vec4 pool[POOL]; // what an op needs: inputs and sums of a product, attention's scores
const uint LOST = 0x80000000u; // of Meeting.arrived, after a wait that lasted too long
shared uint kind;       // of the op under way
shared bool met;        // in time
#include "sum.glsl"
#include "token_route.glsl"
#include "token_product.glsl"
#ifdef TEXT
#include "token_attend.glsl"
#endif

// fetch brings an op to where all threads have it.
void fetch(uint i) {
    const uint64_t at = pc.ops + i * OP_BYTES;
    kind = Op(at).kind;
    if (kind == PRODUCT) {
        op = ProductOp(at).v;
        if (op.route != 0ul) router = RouteOp(op.route).v;
    }
    if (kind == ROUTE) router = RouteOp(at).v;
#ifdef TEXT
    if (kind == ATTEND) attention = AttendOp(at).v;
#endif
}

// meet waits until all workgroups have come so far, for the n-th time. False if some do not.
// Another thread fetches what comes next.
bool meet(uint n, uint next) {
    Meeting m = Meeting(pc.meeting);
    release();
    if (gl_LocalInvocationID.x == 0) {
        memoryBarrierBuffer();
        const uint all = n * gl_NumWorkGroups.x;
        uint there = atomicAdd(m.arrived, 1) + 1;
        for (uint round = 0; there < all && round < pc.patience; round++) there = m.arrived;
        if (there < all) {
            m.arrived = LOST; // for the others, and for dispatches to come
            Report(pc.report).lost = 1;
        }
        met = there >= all && there < LOST;
        memoryBarrierBuffer();
    }
    if (gl_LocalInvocationID.x == THREADS - 1 && next < pc.last) fetch(next);
    barrier();
    return met;
}

// leave makes the meeting ready for the next dispatch.
void leave() {
    Meeting m = Meeting(pc.meeting);
    if (gl_LocalInvocationID.x != 0 || atomicAdd(m.left, 1) + 1 < gl_NumWorkGroups.x) return;
    m.arrived = 0;
    m.left = 0;
}

void main() {
    if (gl_LocalInvocationID.x == 0 && pc.first < pc.last) fetch(pc.first);
    barrier();
    if (pc.first == pc.last) meet(1, pc.last); // a try
    bool on = true;
    for (uint i = pc.first; i < pc.last && on; i++) {
        if (i > pc.first && !meet(i - pc.first, i)) return;
        switch (kind) {
        case PRODUCT:
            on = product();
            if (!on && gl_GlobalInvocationID.x == 0) Report(pc.report).stopped = i;
            break;
        case ROUTE:
            route();
            break;
        case COMBINE:
            combine(Combine(pc.ops + i * OP_BYTES));
            break;
#ifdef TEXT
        case EMBED:
            embed(Embed(pc.ops + i * OP_BYTES));
            break;
        case ATTEND:
            attend();
            break;
#endif
        }
    }
    if (pc.last != pc.first + 1) leave();
}
