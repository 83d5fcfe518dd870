// Rows as the matrix units take them: each value in parts of bfloat16, in the order in which
// the lanes of a subgroup load them. A quad of rows has, for each step of 16 inputs and each
// part, eight pieces of 16 bytes; piece 4r + t has inputs 2t, 2t + 1, 2t + 8 and 2t + 9 of row
// 2r, then of row 2r + 1. What is behind the last input of a row is zero.
const uint MAX_PARTS = 3;

layout(buffer_reference, std430, buffer_reference_align = 16) writeonly restrict buffer UVec4Out {
    uvec4 v[];
};

// partAt is where the pieces of a quad, step and part begin, in units of 16 bytes. A quad has
// room for all parts, however many are in use.
uint partAt(uint quad, uint step_, uint part, uint parts, uint inputs) {
    return (quad * ((inputs + 15) / 16) * MAX_PARTS + step_ * parts + part) * 8;
}

// inputOf is the j-th of the four inputs of a step in a piece.
uint inputOf(uint t, uint j) { return 2 * t + j % 2 + j / 2 * 8; }

// cut takes the leading bfloat16 off x and returns it, in the upper half of the word.
uint cut(inout float x) {
    const uint top = floatBitsToUint(x) & 0xffff0000u;
    x -= uintBitsToFloat(top);
    return top;
}

// rounded is the bfloat16 next to x, ties to even, in the upper half of the word.
uint rounded(float x) {
    const uint bits = floatBitsToUint(x);
    return bits + 0x7fffu + (bits >> 16 & 1u) & 0xffff0000u;
}

// pack makes a pair of bfloat16 of two upper halves.
uint pack(uint first, uint second) { return second | first >> 16; }

// storeParts stores four inputs, v, of the rows of a quad: rounded if there is one part.
void storeParts(UVec4Out to, uint quad, uint step_, uint t, vec4 v[4], uint parts, uint inputs) {
    [[unroll]] for (uint p = 0; p < MAX_PARTS; p++) {
        if (p >= parts) break;
        uint top[16]; // (row, input)
        [[unroll]] for (uint i = 0; i < 16; i++)
            top[i] = parts == 1 ? rounded(v[i % 4][i / 4]) : cut(v[i % 4][i / 4]);
        const uint at = partAt(quad, step_, p, parts, inputs) + t;
        [[unroll]] for (uint r = 0; r < 2; r++)
            to.v[at + 4 * r] = uvec4(pack(top[8 * r], top[8 * r + 1]), pack(top[8 * r + 2], top[8 * r + 3]),
                                     pack(top[8 * r + 4], top[8 * r + 5]), pack(top[8 * r + 6], top[8 * r + 7]));
    }
}
