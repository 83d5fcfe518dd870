//go:build cgo && linux

/* Features and extensions: one table serves both what a device has and what is enabled. */

#include "shim_internal.h"

#include <string.h>

static const struct {
    uint32_t bit;
    size_t offset; /* of the VkBool32 in struct features */
} known[] = {
#define AT(bit, member, index) {bit, offsetof(struct features, member.has) + 4 * (index)}
    AT(UFM_INT64, core, F10_INT64),
    AT(UFM_INT16, core, F10_INT16),
    AT(UFM_STORAGE16, v11, F11_STORAGE16),
    AT(UFM_STORAGE8, v12, F12_STORAGE8),
    AT(UFM_FLOAT16, v12, F12_FLOAT16),
    AT(UFM_INT8, v12, F12_INT8),
    AT(UFM_SCALAR_LAYOUT, v12, F12_SCALAR_LAYOUT),
    AT(UFM_SUBGROUP_TYPES, v12, F12_SUBGROUP_TYPES),
    AT(UFM_HOST_QUERY_RESET, v12, F12_HOST_QUERY_RESET),
    AT(UFM_TIMELINE, v12, F12_TIMELINE),
    AT(UFM_DEVICE_ADDRESS, v12, F12_DEVICE_ADDRESS),
    AT(UFM_MEMORY_MODEL, v12, F12_MEMORY_MODEL),
    AT(UFM_MEMORY_MODEL_DEVICE, v12, F12_MEMORY_MODEL_DEVICE),
    AT(UFM_SUBGROUP_SIZE, v13, F13_SUBGROUP_SIZE),
    AT(UFM_FULL_SUBGROUPS, v13, F13_FULL_SUBGROUPS),
    AT(UFM_SYNCHRONIZATION2, v13, F13_SYNCHRONIZATION2),
    AT(UFM_INTEGER_DOT, v13, F13_INTEGER_DOT),
    AT(UFM_MAINTENANCE4, v13, F13_MAINTENANCE4),
    AT(UFM_SYNCHRONIZATION2, synchronization2, 0),
    AT(UFM_MAINTENANCE4, maintenance4, 0),
    AT(UFM_SUBGROUP_SIZE, subgroups, 0),
    AT(UFM_FULL_SUBGROUPS, subgroups, 1),
    AT(UFM_COOPERATIVE_MATRIX, matrix, 0),
    AT(UFM_BFLOAT16, bfloat16, 0),
    AT(UFM_BFLOAT16_MATRIX, bfloat16, 2),
#undef AT
};

/* Puts a struct in front of the chain that hangs on f->core. */
static void link_front(struct features *f, void *next, int32_t type) {
    VkBaseStructure *s = next;
    s->sType = type;
    s->pNext = f->core.pNext;
    f->core.pNext = s;
}

void features_link(struct features *f, uint32_t api, uint32_t extensions) {
    memset(f, 0, sizeof *f);
    f->core.sType = S_FEATURES_2;
    link_front(f, &f->v11, S_VULKAN_1_1_FEATURES);
    link_front(f, &f->v12, S_VULKAN_1_2_FEATURES);
    if (api >= VK_API_VERSION_1_3)
        link_front(f, &f->v13, S_VULKAN_1_3_FEATURES);
    else if (extensions & UFM_EXT_SYNCHRONIZATION2)
        link_front(f, &f->synchronization2, S_SYNCHRONIZATION_2_FEATURES);
    if (extensions & UFM_EXT_MAINTENANCE4)
        link_front(f, &f->maintenance4, S_MAINTENANCE_4_FEATURES);
    if (extensions & UFM_EXT_SUBGROUP_SIZE)
        link_front(f, &f->subgroups, S_SUBGROUP_SIZE_CONTROL_FEATURES);
    if (extensions & UFM_EXT_COOPERATIVE_MATRIX)
        link_front(f, &f->matrix, S_COOPERATIVE_MATRIX_FEATURES);
    if (extensions & UFM_EXT_BFLOAT16)
        link_front(f, &f->bfloat16, S_SHADER_BFLOAT16_FEATURES);
}

uint32_t features_get(const struct features *f) {
    uint32_t bits = 0;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (*(const VkBool32 *)((const char *)f + known[i].offset))
            bits |= known[i].bit;
    return bits;
}

void features_set(struct features *f, uint32_t bits) {
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        *(VkBool32 *)((char *)f + known[i].offset) = (bits & known[i].bit) != 0;
}

static const struct {
    uint32_t bit;
    const char *name;
    uint32_t until; /* the version that makes it needless */
} extensions[] = {
    /* Used on every version: release 1.3.239 of the validation layer overlooks what is
     * submitted under the core names when it also instruments shaders, and then waits ten
     * seconds at each timeline. */
    {UFM_EXT_SYNCHRONIZATION2, "VK_KHR_synchronization2", UINT32_MAX},
    {UFM_EXT_MAINTENANCE4, "VK_KHR_maintenance4", VK_API_VERSION_1_3},
    {UFM_EXT_SUBGROUP_SIZE, "VK_EXT_subgroup_size_control", VK_API_VERSION_1_3},
    {UFM_EXT_MEMORY_BUDGET, "VK_EXT_memory_budget", UINT32_MAX},
    {UFM_EXT_COOPERATIVE_MATRIX, "VK_KHR_cooperative_matrix", UINT32_MAX},
    {UFM_EXT_BFLOAT16, "VK_KHR_shader_bfloat16", UINT32_MAX},
    {UFM_EXT_HOST_MEMORY, "VK_EXT_external_memory_host", UINT32_MAX},
};

#define EXTENSIONS ((int)(sizeof extensions / sizeof *extensions))
_Static_assert(EXTENSIONS <= MAX_EXTENSIONS, "room for every name");

uint32_t extension_bit(const char *name, uint32_t api) {
    for (int i = 0; i < EXTENSIONS; i++)
        if (api < extensions[i].until && strcmp(name, extensions[i].name) == 0)
            return extensions[i].bit;
    return 0;
}

uint32_t extension_names(uint32_t bits, const char *names[MAX_EXTENSIONS]) {
    uint32_t n = 0;
    for (int i = 0; i < EXTENSIONS; i++)
        if (bits & extensions[i].bit)
            names[n++] = extensions[i].name;
    return n;
}
