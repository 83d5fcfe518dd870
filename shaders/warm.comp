#version 460
// Brings memory into the device's cache, for a kernel that comes next: reads a word of each
// sector and keeps nothing.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

const uint THREADS = 256, EACH = 4, SECTOR = 8; // words
layout(local_size_x = THREADS) in;

layout(push_constant, scalar) uniform Push {
    uint64_t src;
    uint64_t sink; // 0: no compiler knows that nothing is kept
    uint sectors;
} pc;

void main() {
    const uint first = gl_WorkGroupID.x * THREADS * EACH + gl_LocalInvocationID.x;
    uint word[EACH];
    [[unroll]] for (uint i = 0; i < EACH; i++)
        word[i] = UintIn(pc.src).v[min(first + i * THREADS, pc.sectors - 1) * SECTOR];
    if (pc.sink != 0ul)
        [[unroll]] for (uint i = 0; i < EACH; i++) UintOut(pc.sink).v[first + i * THREADS] = word[i];
}
