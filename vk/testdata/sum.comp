#version 450
#extension GL_EXT_buffer_reference : require

// result[i] = offset + scale × Σ block[b][i], over blocks whose addresses stand in a table.

layout(local_size_x = 64) in;
layout(constant_id = 0) const uint scale = 1;
layout(constant_id = 1) const uint offset = 0;

layout(buffer_reference, std430, buffer_reference_align = 4) buffer Words { uint word[]; };
layout(buffer_reference, std430, buffer_reference_align = 8) readonly buffer Table {
    Words block[];
};

layout(push_constant) uniform Push {
    Table table;  // (blocks)
    Words result; // (n)
    uint blocks;
    uint n;
};

void main() {
    uint i = gl_GlobalInvocationID.x;
    if (i >= n) return;
    uint sum = 0;
    for (uint b = 0; b < blocks; b++) sum += table.block[b].word[i];
    result.word[i] = offset + scale * sum;
}
