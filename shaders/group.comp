#version 460
// Grouping: gives every (token, k) a row among the rows of its expert. One workgroup.
//
// Rows come in quads of four; the quads of an expert are contiguous, experts ascend.
// The order of rows inside an expert is not fixed and need not be: a row's arithmetic
// is the same wherever it stands.
//
// Where every expert is resident it also writes the tiles of expert.comp and the sizes of
// its dispatches, so that a step needs no word from the host.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint THREADS = 256;
layout(constant_id = 1) const uint MAX_EXPERTS = 128;

const uint MAX_TILINGS = 8;

// Plan is what the host knows of the expert kernels' tilings, ascending in rows. Tiling i
// has its tiles at i · maxTiles; dispatches are (product, tiling) of three words.
layout(buffer_reference, scalar, buffer_reference_align = 8) readonly restrict buffer Plan {
    uint64_t tiles;
    uint64_t dispatches;
    uint tilings;
    uint maxTiles;
    uint rows[MAX_TILINGS];
    uint groups[2 * MAX_TILINGS]; // (product, tiling): workgroups that cover the outputs
};
layout(buffer_reference, scalar, buffer_reference_align = 8) readonly restrict buffer Slots {
    uint64_t address[]; // (experts)
};
struct Tile { // as in expert.comp
    uint64_t slot;
    uint quad;
    uint rows;
};
layout(buffer_reference, scalar, buffer_reference_align = 16) writeonly restrict buffer Tiles {
    Tile v[];
};

layout(push_constant, scalar) uniform Push {
    uint64_t ids;      // (tokens · top_k)
    uint64_t counts;   // (experts): rows of each, for the host
    uint64_t rows;     // (4 · quads): token of each row or NO_TOKEN
    uint64_t position; // (tokens · top_k): row of each
    uint64_t plan;     // Plan, or 0: the host plans
    uint64_t slots;    // Slots of this layer, with plan
    uint choices;      // tokens · top_k
    uint top_k;
    uint experts;
    uint quads;        // most that can occur
} pc;

shared uint count[MAX_EXPERTS];
shared uint next[MAX_EXPERTS]; // the expert's next free row

shared uint tileOf[MAX_EXPERTS]; // the expert's first tile among its tiling's
shared uint quadOf[MAX_EXPERTS];

shared uint tilings;
shared uint tileRows[MAX_TILINGS];

// tilingFor is profile.class of the host: the smallest tiling that holds all rows, or of
// the two largest the one that fills its tiles better.
uint tilingFor(uint rows) {
    for (uint i = 0; i < tilings; i++)
        if (rows <= tileRows[i]) return i;
    const uint last = tilings - 1;
    if (last == 0) return last;
    const uint a = tileRows[last - 1], b = tileRows[last];
    return (rows + a - 1) / a * a < (rows + b - 1) / b * b ? last - 1 : last;
}

// planTiles gives every expert its place among the tiles, and sizes the dispatches.
void planTiles(Plan p) {
    uint tiles[MAX_TILINGS];
    for (uint i = 0; i < MAX_TILINGS; i++) {
        tiles[i] = 0;
        tileRows[i] = p.rows[i];
    }
    tilings = p.tilings;
    const uint n = tilings;
    for (uint e = 0; e < pc.experts; e++) {
        if (count[e] == 0) continue;
        const uint i = tilingFor(count[e]);
        tileOf[e] = tiles[i];
        tiles[i] += (count[e] + tileRows[i] - 1) / tileRows[i];
    }
    for (uint i = 0; i < 2 * n; i++) {
        UintOut(p.dispatches).v[3 * i] = p.groups[i];
        UintOut(p.dispatches).v[3 * i + 1] = tiles[i % n];
        UintOut(p.dispatches).v[3 * i + 2] = 1;
    }
}

void writeTiles(Plan p, uint e) {
    const uint i = tilingFor(count[e]), rows = tileRows[i];
    const uint64_t slot = Slots(pc.slots).address[e];
    Tiles tiles = Tiles(p.tiles);
    const uint first = i * p.maxTiles + tileOf[e], n = (count[e] + rows - 1) / rows;
    for (uint t = 0; t < n; t++) {
        tiles.v[first + t].slot = slot;
        tiles.v[first + t].quad = quadOf[e] + t * rows / 4;
        tiles.v[first + t].rows = min(rows, count[e] - t * rows);
    }
}

void main() {
    const uint tid = gl_LocalInvocationID.x;
    UintIn ids = UintIn(pc.ids);
    for (uint e = tid; e < pc.experts; e += THREADS) count[e] = 0;
    for (uint r = tid; r < 4 * pc.quads; r += THREADS) UintOut(pc.rows).v[r] = NO_TOKEN;
    barrier();
    for (uint i = tid; i < pc.choices; i += THREADS) atomicAdd(count[ids.v[i]], 1);
    memoryBarrierBuffer();
    barrier();
    if (tid == 0) {
        uint row = 0;
        for (uint e = 0; e < pc.experts; e++) {
            next[e] = row;
            quadOf[e] = row / 4;
            row += (count[e] + 3) / 4 * 4;
        }
        if (pc.plan != 0ul) planTiles(Plan(pc.plan));
    }
    barrier();
    for (uint e = tid; e < pc.experts; e += THREADS) {
        UintOut(pc.counts).v[e] = count[e];
        if (pc.plan != 0ul && count[e] > 0) writeTiles(Plan(pc.plan), e);
    }
    for (uint i = tid; i < pc.choices; i += THREADS) {
        uint row = atomicAdd(next[ids.v[i]], 1);
        UintOut(pc.rows).v[row] = i / pc.top_k;
        UintOut(pc.position).v[i] = row;
    }
}
