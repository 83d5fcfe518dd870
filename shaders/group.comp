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
const uint PER = 4; // choices of a thread at a time

// Plan is what the host knows of the expert kernels' tilings, ascending in from. Tiling i
// has its tiles at i · maxTiles; dispatches are (product, tiling) of three words.
layout(buffer_reference, scalar, buffer_reference_align = 8) readonly restrict buffer Plan {
    uint64_t tiles;
    uint64_t dispatches;
    uint tilings;
    uint maxTiles;
    uint from[MAX_TILINGS]; // rows of the experts that it serves, at least
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
    uint64_t rows;     // (4 · quads): token of each row, perhaps with ROUNDED_ROW, or NO_TOKEN
    uint64_t position; // (tokens · top_k): row of each
    uint64_t plan;     // Plan, or 0: the host plans
    uint64_t slots;    // Slots of this layer, with plan
    uint choices;      // tokens · top_k
    uint top_k;
    uint experts;
    uint quads;        // most that can occur
    uint rounded;      // rows of an expert from which its inputs are rounded
} pc;

shared uint count[MAX_EXPERTS];
shared uint next[MAX_EXPERTS];   // the expert's next free row
shared uint quadOf[MAX_EXPERTS]; // the expert's first quad
shared uint tiling[MAX_EXPERTS]; // which tiling serves the expert
shared uint tiles[MAX_EXPERTS];  // how many of its tiles the expert takes
shared uint tileRows[MAX_TILINGS];
shared uint tileFrom[MAX_TILINGS];

// tilingFor is profile.class of the host.
uint tilingFor(uint rows, uint tilings) {
    uint i = tilings - 1;
    while (i > 0 && rows < tileFrom[i]) i--;
    return i;
}

// sizeDispatches adds up the tiles of each tiling.
void sizeDispatches(Plan p, uint tilings, uint i) {
    uint n = 0;
    for (uint e = 0; e < pc.experts; e++) n += tiling[e] == i % tilings ? tiles[e] : 0;
    UintOut dispatches = UintOut(p.dispatches);
    dispatches.v[3 * i] = p.groups[i];
    dispatches.v[3 * i + 1] = n;
    dispatches.v[3 * i + 2] = 1;
}

// writeTiles writes an expert's tiles behind those of the experts before it.
void writeTiles(Plan p, uint e) {
    uint at = tiling[e] * p.maxTiles;
    for (uint j = 0; j < e; j++) at += tiling[j] == tiling[e] ? tiles[j] : 0;
    const uint rows = tileRows[tiling[e]], n = tiles[e];
    const uint64_t slot = Slots(pc.slots).address[e];
    Tiles list = Tiles(p.tiles);
    for (uint t = 0; t < n; t++) {
        list.v[at + t].slot = slot;
        list.v[at + t].quad = quadOf[e] + t * rows / 4;
        list.v[at + t].rows = min(rows, count[e] - t * rows);
    }
}

// fetch reads a thread's next ids, all at once.
void fetch(UintIn ids, uint first, out uint id[PER]) {
    [[unroll]] for (uint j = 0; j < PER; j++)
        id[j] = ids.v[min(first + j * THREADS, pc.choices - 1)];
}

void main() {
    const uint tid = gl_LocalInvocationID.x;
    const bool planned = pc.plan != 0ul;
    UintIn ids = UintIn(pc.ids);
    uint tilings = 0; // loads stay out of loop conditions: validation cannot instrument them
    if (planned) {
        tilings = Plan(pc.plan).tilings;
        if (tid < MAX_TILINGS) {
            tileRows[tid] = Plan(pc.plan).rows[tid];
            tileFrom[tid] = Plan(pc.plan).from[tid];
        }
    }
    for (uint e = tid; e < pc.experts; e += THREADS) count[e] = 0;
    for (uint r = tid; r < 4 * pc.quads; r += THREADS) UintOut(pc.rows).v[r] = NO_TOKEN;
    barrier();
    for (uint first = tid; first < pc.choices; first += PER * THREADS) {
        uint id[PER];
        fetch(ids, first, id);
        [[unroll]] for (uint j = 0; j < PER; j++)
            if (first + j * THREADS < pc.choices) atomicAdd(count[id[j]], 1);
    }
    memoryBarrierBuffer();
    barrier();
    for (uint e = tid; e < pc.experts; e += THREADS) {
        uint quad = 0;
        for (uint j = 0; j < e; j++) quad += (count[j] + 3) / 4;
        quadOf[e] = quad;
        next[e] = 4 * quad;
        UintOut(pc.counts).v[e] = count[e];
        if (planned) {
            tiling[e] = tilingFor(count[e], tilings);
            tiles[e] = (count[e] + tileRows[tiling[e]] - 1) / tileRows[tiling[e]];
        }
    }
    barrier();
    if (planned) {
        if (tid < 2 * tilings) sizeDispatches(Plan(pc.plan), tilings, tid);
        for (uint e = tid; e < pc.experts; e += THREADS) writeTiles(Plan(pc.plan), e);
    }
    for (uint first = tid; first < pc.choices; first += PER * THREADS) {
        uint id[PER];
        fetch(ids, first, id);
        [[unroll]] for (uint j = 0; j < PER; j++) {
            const uint i = first + j * THREADS;
            if (i < pc.choices) {
                const uint e = id[j], row = atomicAdd(next[e], 1);
                UintOut(pc.rows).v[row] = i / pc.top_k | (count[e] >= pc.rounded ? ROUNDED_ROW : 0);
                UintOut(pc.position).v[i] = row;
            }
        }
    }
}
