#version 460
// Tells where the elements of a cooperative matrix are: which of them each lane has, and in
// what order. Vulkan leaves that to the driver; matrix.comp needs to know it. One subgroup.
//
// Element (k, n) of the weights' kind and (m, k) of the inputs' kind have the value 16k + n
// and 16k + m, which bfloat16 holds exactly.
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_EXT_bfloat16 : require
#include "common.glsl"

layout(local_size_x = 32) in;

layout(push_constant, scalar) uniform Push {
    uint64_t dst; // (weights and inputs, lanes, 8)
} pc;

shared uvec4 sh[32]; // (n or m, k) of bfloat16

uint valueAt(uint n, uint k) { return floatBitsToUint(float(16 * k + n)) >> 16; }

void main() {
    const uint lane = gl_SubgroupInvocationID, n = lane / 2, k = lane % 2 * 8;
    [[unroll]] for (uint j = 0; j < 4; j++)
        sh[lane][j] = valueAt(n, k + 2 * j) | valueAt(n, k + 2 * j + 1) << 16;
    barrier();
    coopmat<bfloat16_t, gl_ScopeSubgroup, 16, 16, gl_MatrixUseB> weights;
    coopMatLoad(weights, sh, 0, 2, gl_CooperativeMatrixLayoutColumnMajor);
    coopmat<bfloat16_t, gl_ScopeSubgroup, 16, 16, gl_MatrixUseA> inputs;
    coopMatLoad(inputs, sh, 0, 2, gl_CooperativeMatrixLayoutRowMajor);
    FloatIO dst = FloatIO(pc.dst);
    if (weights.length() != 8 || inputs.length() != 8) return;
    [[unroll]] for (uint i = 0; i < 8; i++) {
        dst.v[8 * lane + i] = float(weights[i]);
        dst.v[256 + 8 * lane + i] = float(inputs[i]);
    }
}
