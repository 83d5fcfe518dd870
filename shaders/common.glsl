// What every kernel shares: memory is addressed by device address, never through
// descriptors, so that slots may lie in any number of allocations.
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_scalar_block_layout : require
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require
#extension GL_EXT_control_flow_attributes : require

layout(buffer_reference, std430, buffer_reference_align = 16) readonly restrict buffer Vec4In {
    vec4 v[];
};
layout(buffer_reference, std430, buffer_reference_align = 16) writeonly restrict buffer Vec4Out {
    vec4 v[];
};
layout(buffer_reference, std430, buffer_reference_align = 16) buffer Vec4IO {
    vec4 v[];
};
layout(buffer_reference, std430, buffer_reference_align = 16) readonly restrict buffer UVec4In {
    uvec4 v[];
};
layout(buffer_reference, std430, buffer_reference_align = 4) readonly restrict buffer FloatIn {
    float v[];
};
layout(buffer_reference, std430, buffer_reference_align = 4) buffer FloatIO {
    float v[];
};
layout(buffer_reference, std430, buffer_reference_align = 4) readonly restrict buffer UintIn {
    uint v[];
};
layout(buffer_reference, std430, buffer_reference_align = 4) writeonly restrict buffer UintOut {
    uint v[];
};

// NO_TOKEN marks a row that only fills up a quad of four.
const uint NO_TOKEN = 0xffffffffu;
// ROUNDED_ROW beside a row's token tells that its expert's inputs are rounded to bfloat16.
const uint ROUNDED_ROW = 0x80000000u;

float gelu(float x) { // tanh form: x/2 · (1 + tanh z) = x / (1 + e^(-2z))
    float z = 0.7978845608028654 * (x + 0.044715 * x * x * x);
    return x / (1.0 + exp(-2.0 * z));
}

float silu(float x) { return x / (1.0 + exp(-x)); }

// order maps floats to integers of the same order, in which NaN has a place too: so ranks are
// always a permutation, and what is chosen always exists.
uint order(float v) {
    const uint bits = v == 0.0 ? 0u : floatBitsToUint(v);
    return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}
