//go:build cgo && linux

/* The shim's device: creation, memory and pipelines. */

#include "shim_internal.h"

#include <stdlib.h>

enum { MAX_QUEUES = 16 };

static int32_t load_device(const ufm_instance *in, ufm_device *d, uint32_t extensions) {
#define LOAD_AS(name, as)                                           \
    d->name = (PFN_##name)in->vkGetDeviceProcAddr(d->handle, as);   \
    if (!d->name)                                                   \
        return VK_ERROR_INITIALIZATION_FAILED;
#define LOAD(name) LOAD_AS(name, #name)
#define LOAD_KHR(name) LOAD_AS(name, #name "KHR")
    DEVICE_FUNCTIONS(LOAD)
    if (extensions & UFM_EXT_SYNCHRONIZATION2) {
        SYNCHRONIZATION2_FUNCTIONS(LOAD_KHR)
    } else {
        SYNCHRONIZATION2_FUNCTIONS(LOAD)
    }
#undef LOAD_KHR
    if (extensions & UFM_EXT_HOST_MEMORY) {
        LOAD(vkGetMemoryHostPointerPropertiesEXT)
    }
#undef LOAD
#undef LOAD_AS
    return VK_SUCCESS;
}

int32_t ufm_device_new(const ufm_instance *in, void *physical, uint32_t api,
                       const ufm_description *description, const uint32_t *families,
                       const uint32_t *counts, uint32_t family_count, ufm_device **out) {
    struct features f;
    features_link(&f, api, description->extensions);
    features_set(&f, description->features);

    const char *extensions[MAX_EXTENSIONS];
    uint32_t extension_count = extension_names(description->extensions, extensions);

    const float priorities[MAX_QUEUES] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    VkDeviceQueueCreateInfo queues[UFM_MAX_FAMILIES];
    if (family_count > UFM_MAX_FAMILIES)
        return VK_ERROR_INITIALIZATION_FAILED;
    for (uint32_t i = 0; i < family_count; i++)
        queues[i] = (VkDeviceQueueCreateInfo){
            .sType = S_DEVICE_QUEUE_CREATE_INFO,
            .queueFamilyIndex = families[i],
            .queueCount = counts[i] < MAX_QUEUES ? counts[i] : MAX_QUEUES,
            .pQueuePriorities = priorities,
        };
    VkDeviceCreateInfo info = {
        .sType = S_DEVICE_CREATE_INFO,
        .pNext = &f.core,
        .queueCreateInfoCount = family_count,
        .pQueueCreateInfos = queues,
        .enabledExtensionCount = extension_count,
        .ppEnabledExtensionNames = extensions,
    };

    ufm_device *d = calloc(1, sizeof *d);
    if (!d)
        return VK_ERROR_OUT_OF_HOST_MEMORY;
    int32_t r = in->vkCreateDevice(physical, &info, NULL, &d->handle);
    if (r == VK_SUCCESS) {
        r = load_device(in, d, description->extensions);
        if (r != VK_SUCCESS && d->vkDestroyDevice)
            d->vkDestroyDevice(d->handle, NULL);
    }
    if (r != VK_SUCCESS) {
        free(d);
        return r;
    }
    *out = d;
    return VK_SUCCESS;
}

void *ufm_device_handle(const ufm_device *d) { return d->handle; }

void ufm_device_free(ufm_device *d) { free(d); }

/* --- memory --- */

int32_t ufm_buffer_new(const ufm_device *d, uint64_t size, uint32_t imported,
                       const uint32_t *families, uint32_t family_count, uint64_t *buffer,
                       uint64_t *need, uint32_t *types) {
    VkExternalMemoryBufferCreateInfo external = {
        .sType = S_EXTERNAL_MEMORY_BUFFER_CREATE_INFO,
        .handleTypes = EXTERNAL_MEMORY_HOST_ALLOCATION,
    };
    VkBufferCreateInfo info = {
        .sType = S_BUFFER_CREATE_INFO,
        .pNext = imported ? &external : NULL,
        .size = size,
        .usage = BUFFER_USAGE_TRANSFER_SRC | BUFFER_USAGE_TRANSFER_DST | BUFFER_USAGE_STORAGE |
                 BUFFER_USAGE_INDIRECT | BUFFER_USAGE_DEVICE_ADDRESS,
        /* Shared, so that no ownership is handed from queue to queue. */
        .sharingMode = family_count > 1 ? SHARING_CONCURRENT : 0,
        .queueFamilyIndexCount = family_count > 1 ? family_count : 0,
        .pQueueFamilyIndices = families,
    };
    int32_t r = d->vkCreateBuffer(d->handle, &info, NULL, buffer);
    if (r != VK_SUCCESS)
        return r;
    VkMemoryRequirements requirements;
    d->vkGetBufferMemoryRequirements(d->handle, *buffer, &requirements);
    *need = requirements.size;
    *types = requirements.memoryTypeBits;
    return VK_SUCCESS;
}

static int32_t new_memory(const ufm_device *d, const void *chain, uint64_t size, uint32_t type,
                          uint64_t *memory) {
    VkMemoryAllocateFlagsInfo flags = {
        .sType = S_MEMORY_ALLOCATE_FLAGS_INFO,
        .pNext = chain,
        .flags = MEMORY_ALLOCATE_DEVICE_ADDRESS,
    };
    VkMemoryAllocateInfo info = {
        .sType = S_MEMORY_ALLOCATE_INFO,
        .pNext = &flags,
        .allocationSize = size,
        .memoryTypeIndex = type,
    };
    return d->vkAllocateMemory(d->handle, &info, NULL, memory);
}

int32_t ufm_memory_new(const ufm_device *d, uint64_t size, uint32_t type, uint64_t *memory) {
    return new_memory(d, NULL, size, type, memory);
}

int32_t ufm_import_types(const ufm_device *d, void *start, uint32_t *types) {
    VkMemoryHostPointerPropertiesEXT p = {.sType = S_MEMORY_HOST_POINTER_PROPERTIES};
    int32_t r = d->vkGetMemoryHostPointerPropertiesEXT(d->handle,
                                                       EXTERNAL_MEMORY_HOST_ALLOCATION, start, &p);
    *types = p.memoryTypeBits;
    return r;
}

int32_t ufm_memory_import(const ufm_device *d, void *start, uint64_t size, uint32_t type,
                          uint64_t *memory) {
    VkImportMemoryHostPointerInfoEXT import = {
        .sType = S_IMPORT_MEMORY_HOST_POINTER_INFO,
        .handleType = EXTERNAL_MEMORY_HOST_ALLOCATION,
        .pHostPointer = start,
    };
    return new_memory(d, &import, size, type, memory);
}

uint64_t ufm_buffer_address(const ufm_device *d, uint64_t buffer) {
    VkBufferDeviceAddressInfo info = {.sType = S_BUFFER_DEVICE_ADDRESS_INFO, .buffer = buffer};
    return d->vkGetBufferDeviceAddress(d->handle, &info);
}

/* --- pipelines --- */

int32_t ufm_cache_new(const ufm_device *d, const void *data, size_t size, uint64_t *cache) {
    VkPipelineCacheCreateInfo info = {
        .sType = S_PIPELINE_CACHE_CREATE_INFO,
        .initialDataSize = size,
        .pInitialData = data,
    };
    return d->vkCreatePipelineCache(d->handle, &info, NULL, cache);
}

static int32_t new_layout(const ufm_device *d, uint32_t push_bytes, VkPipelineLayout *layout) {
    VkPushConstantRange range = {.stageFlags = SHADER_STAGE_COMPUTE, .size = push_bytes};
    VkPipelineLayoutCreateInfo info = {
        .sType = S_PIPELINE_LAYOUT_CREATE_INFO,
        .pushConstantRangeCount = push_bytes > 0 ? 1 : 0,
        .pPushConstantRanges = &range,
    };
    return d->vkCreatePipelineLayout(d->handle, &info, NULL, layout);
}

/* The pipeline proper, once there are a module, a layout and room for the map entries. */
static int32_t new_pipeline(const ufm_device *d, VkPipelineCache cache, VkShaderModule module,
                            VkPipelineLayout layout, VkSpecializationMapEntry *entries,
                            const uint32_t *spec, uint32_t spec_count, uint32_t subgroup,
                            VkPipeline *pipeline) {
    for (uint32_t i = 0; i < spec_count; i++)
        entries[i] = (VkSpecializationMapEntry){.constantID = i, .offset = 4 * i, .size = 4};
    VkSpecializationInfo constants = {
        .mapEntryCount = spec_count,
        .pMapEntries = entries,
        .dataSize = (size_t)spec_count * 4,
        .pData = spec,
    };
    VkRequiredSubgroupSizeCreateInfo required = {
        .sType = S_REQUIRED_SUBGROUP_SIZE_CREATE_INFO,
        .requiredSubgroupSize = subgroup,
    };
    VkComputePipelineCreateInfo info = {
        .sType = S_COMPUTE_PIPELINE_CREATE_INFO,
        .stage =
            {
                .sType = S_PIPELINE_SHADER_STAGE_CREATE_INFO,
                .pNext = subgroup ? &required : NULL,
                .stage = SHADER_STAGE_COMPUTE,
                .module = module,
                .pName = "main",
                .pSpecializationInfo = &constants,
            },
        .layout = layout,
        .basePipelineIndex = -1,
    };
    return d->vkCreateComputePipelines(d->handle, cache, 1, &info, NULL, pipeline);
}

int32_t ufm_pipeline_new(const ufm_device *d, uint64_t cache, const uint32_t *code,
                         size_t code_bytes, const uint32_t *spec, uint32_t spec_count,
                         uint32_t push_bytes, uint32_t subgroup, uint64_t *layout,
                         uint64_t *pipeline) {
    VkSpecializationMapEntry *entries = calloc(spec_count + 1, sizeof *entries);
    if (!entries)
        return VK_ERROR_OUT_OF_HOST_MEMORY;
    VkShaderModuleCreateInfo info = {
        .sType = S_SHADER_MODULE_CREATE_INFO,
        .codeSize = code_bytes,
        .pCode = code,
    };
    VkShaderModule module = 0;
    int32_t r = d->vkCreateShaderModule(d->handle, &info, NULL, &module);
    if (r == VK_SUCCESS) {
        r = new_layout(d, push_bytes, layout);
        if (r == VK_SUCCESS) {
            r = new_pipeline(d, cache, module, *layout, entries, spec, spec_count, subgroup,
                             pipeline);
            if (r != VK_SUCCESS)
                d->vkDestroyPipelineLayout(d->handle, *layout, NULL);
        }
        d->vkDestroyShaderModule(d->handle, module, NULL);
    }
    free(entries);
    return r;
}
