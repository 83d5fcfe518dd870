/*
 * The part of Vulkan's binary interface that the shim speaks: handles, structs, enum
 * values and function types, as the specification fixes them. Written out here because
 * the Go binding ends at Vulkan 1.1.88 and distributions ship headers of many ages.
 *
 * Names are the specification's, so that it can be searched for. Where only a few
 * members matter a struct keeps its size and layout but not all its names: feature
 * structs are arrays of VkBool32 with the indexes that are used.
 */
#ifndef UFM_ABI_H
#define UFM_ABI_H

#include <stddef.h>
#include <stdint.h>

_Static_assert(sizeof(void *) == 8, "the shim is written for 64-bit systems");

/* Dispatchable handles are pointers, all others 64-bit values. */
typedef void *VkInstance, *VkPhysicalDevice, *VkDevice, *VkQueue, *VkCommandBuffer;
typedef uint64_t VkBuffer, VkDeviceMemory, VkSemaphore, VkQueryPool, VkShaderModule, VkPipeline,
    VkPipelineLayout, VkPipelineCache, VkMessenger;
typedef uint64_t VkDeviceSize;
typedef uint32_t VkFlags, VkBool32;
typedef uint64_t VkFlags64;
typedef int32_t VkResult;

enum {
    VK_SUCCESS = 0,
    VK_TIMEOUT = 2,
    VK_INCOMPLETE = 5,
    VK_ERROR_OUT_OF_HOST_MEMORY = -1,
    VK_ERROR_INITIALIZATION_FAILED = -3,
    VK_ERROR_LAYER_NOT_PRESENT = -6,
    VK_ERROR_INCOMPATIBLE_DRIVER = -9,
};

#define VK_API_VERSION_1_2 ((1u << 22) | (2u << 12))
#define VK_API_VERSION_1_3 ((1u << 22) | (3u << 12))

/* Values of sType. */
enum {
    S_APPLICATION_INFO = 0,
    S_INSTANCE_CREATE_INFO = 1,
    S_DEVICE_QUEUE_CREATE_INFO = 2,
    S_DEVICE_CREATE_INFO = 3,
    S_MEMORY_ALLOCATE_INFO = 5,
    S_SEMAPHORE_CREATE_INFO = 9,
    S_BUFFER_CREATE_INFO = 12,
    S_SHADER_MODULE_CREATE_INFO = 16,
    S_PIPELINE_CACHE_CREATE_INFO = 17,
    S_PIPELINE_SHADER_STAGE_CREATE_INFO = 18,
    S_COMPUTE_PIPELINE_CREATE_INFO = 29,
    S_PIPELINE_LAYOUT_CREATE_INFO = 30,
    S_VULKAN_1_1_FEATURES = 49,
    S_VULKAN_1_2_FEATURES = 51,
    S_VULKAN_1_3_FEATURES = 53,
    S_FEATURES_2 = 1000059000,
    S_PROPERTIES_2 = 1000059001,
    S_MEMORY_PROPERTIES_2 = 1000059006,
    S_MEMORY_ALLOCATE_FLAGS_INFO = 1000060000,
    S_SUBGROUP_PROPERTIES = 1000094000,
    S_EXTERNAL_MEMORY_BUFFER_CREATE_INFO = 1000072000,
    S_DEBUG_UTILS_MESSENGER_CREATE_INFO = 1000128004,
    S_SHADER_BFLOAT16_FEATURES = 1000141000,
    S_MAINTENANCE_3_PROPERTIES = 1000168000,
    S_DRIVER_PROPERTIES = 1000196000,
    S_IMPORT_MEMORY_HOST_POINTER_INFO = 1000178000,
    S_MEMORY_HOST_POINTER_PROPERTIES = 1000178001,
    S_EXTERNAL_MEMORY_HOST_PROPERTIES = 1000178002,
    S_SEMAPHORE_TYPE_CREATE_INFO = 1000207002,
    S_SEMAPHORE_WAIT_INFO = 1000207004,
    S_SUBGROUP_SIZE_CONTROL_PROPERTIES = 1000225000,
    S_REQUIRED_SUBGROUP_SIZE_CREATE_INFO = 1000225001,
    S_SUBGROUP_SIZE_CONTROL_FEATURES = 1000225002,
    S_MEMORY_BUDGET_PROPERTIES = 1000237000,
    S_BUFFER_DEVICE_ADDRESS_INFO = 1000244001,
    S_VALIDATION_FEATURES = 1000247000,
    S_MEMORY_BARRIER_2 = 1000314000,
    S_DEPENDENCY_INFO = 1000314003,
    S_SUBMIT_INFO_2 = 1000314004,
    S_SEMAPHORE_SUBMIT_INFO = 1000314005,
    S_COMMAND_BUFFER_SUBMIT_INFO = 1000314006,
    S_SYNCHRONIZATION_2_FEATURES = 1000314007,
    S_MAINTENANCE_4_FEATURES = 1000413000,
    S_MAINTENANCE_4_PROPERTIES = 1000413001,
    S_COOPERATIVE_MATRIX_FEATURES = 1000506000,
    S_COOPERATIVE_MATRIX_PROPERTIES = 1000506001,
};

/* Flags. */
enum {
    BUFFER_USAGE_TRANSFER_SRC = 0x1,
    BUFFER_USAGE_TRANSFER_DST = 0x2,
    BUFFER_USAGE_STORAGE = 0x20,
    BUFFER_USAGE_INDIRECT = 0x100,
    BUFFER_USAGE_DEVICE_ADDRESS = 0x20000,
    SHARING_CONCURRENT = 1,
    MEMORY_ALLOCATE_DEVICE_ADDRESS = 0x2,
    EXTERNAL_MEMORY_HOST_ALLOCATION = 0x80,
    SEMAPHORE_TYPE_TIMELINE = 1,
    SHADER_STAGE_COMPUTE = 0x20,
    STAGE_DRAW_INDIRECT = 0x2,
    STAGE_COMPUTE_SHADER = 0x800,
    STAGE_TRANSFER = 0x1000,
    STAGE_HOST = 0x4000,
    STAGE_ALL_COMMANDS = 0x10000,
    ACCESS_INDIRECT_READ = 0x1,
    ACCESS_SHADER_READ = 0x20,
    ACCESS_SHADER_WRITE = 0x40,
    ACCESS_TRANSFER_READ = 0x800,
    ACCESS_TRANSFER_WRITE = 0x1000,
    ACCESS_HOST_READ = 0x2000,
    VALIDATE_GPU_ASSISTED = 0,
    VALIDATE_RESERVE_BINDING_SLOT = 1,
    VALIDATE_SYNCHRONIZATION = 4,
    MESSAGE_SEVERITY_WARNING = 0x100,
    MESSAGE_SEVERITY_ERROR = 0x1000,
    MESSAGE_TYPE_VALIDATION = 0x2,
};

/* Every extensible struct begins like this. */
#define CHAIN int32_t sType; const void *pNext

typedef struct { CHAIN; } VkBaseStructure;

/* --- instance --- */

typedef struct {
    CHAIN;
    const char *pApplicationName;
    uint32_t applicationVersion;
    const char *pEngineName;
    uint32_t engineVersion, apiVersion;
} VkApplicationInfo;

typedef struct {
    CHAIN;
    VkFlags flags;
    const VkApplicationInfo *pApplicationInfo;
    uint32_t enabledLayerCount;
    const char *const *ppEnabledLayerNames;
    uint32_t enabledExtensionCount;
    const char *const *ppEnabledExtensionNames;
} VkInstanceCreateInfo;

typedef struct {
    CHAIN;
    uint32_t enabledValidationFeatureCount;
    const int32_t *pEnabledValidationFeatures;
    uint32_t disabledValidationFeatureCount;
    const int32_t *pDisabledValidationFeatures;
} VkValidationFeaturesEXT;

/* The head of the struct; what follows pMessage is not read. */
typedef struct {
    CHAIN;
    VkFlags flags;
    const char *pMessageIdName;
    int32_t messageIdNumber;
    const char *pMessage;
} VkMessage;

typedef VkBool32 (*VkMessageCallback)(int32_t severity, VkFlags types, const VkMessage *message,
                                      void *user);

typedef struct {
    CHAIN;
    VkFlags flags, messageSeverity, messageType;
    VkMessageCallback pfnUserCallback;
    void *pUserData;
} VkDebugUtilsMessengerCreateInfoEXT;

/* --- physical device --- */

typedef struct { char extensionName[256]; uint32_t specVersion; } VkExtensionProperties;

/* The core properties are read through the binding; here they only take their place. */
typedef struct { CHAIN; uint64_t properties[103]; } VkPhysicalDeviceProperties2;
typedef struct {
    CHAIN;
    int32_t driverID;
    char driverName[256], driverInfo[256];
    uint8_t conformanceVersion[4];
} VkPhysicalDeviceDriverProperties;
typedef struct {
    CHAIN;
    uint32_t subgroupSize;
    VkFlags supportedStages, supportedOperations;
    VkBool32 quadOperationsInAllStages;
} VkPhysicalDeviceSubgroupProperties;
typedef struct {
    CHAIN;
    uint32_t minSubgroupSize, maxSubgroupSize, maxComputeWorkgroupSubgroups;
    VkFlags requiredSubgroupSizeStages;
} VkPhysicalDeviceSubgroupSizeControlProperties;
typedef struct {
    CHAIN;
    uint32_t maxPerSetDescriptors;
    VkDeviceSize maxMemoryAllocationSize;
} VkPhysicalDeviceMaintenance3Properties;
typedef struct { CHAIN; VkDeviceSize maxBufferSize; } VkPhysicalDeviceMaintenance4Properties;

typedef struct {
    CHAIN;
    VkDeviceSize minImportedHostPointerAlignment;
} VkPhysicalDeviceExternalMemoryHostPropertiesEXT;

typedef struct { VkFlags propertyFlags; uint32_t heapIndex; } VkMemoryType;
typedef struct { VkDeviceSize size; VkFlags flags; } VkMemoryHeap;
typedef struct {
    CHAIN;
    uint32_t memoryTypeCount;
    VkMemoryType memoryTypes[32];
    uint32_t memoryHeapCount;
    VkMemoryHeap memoryHeaps[16];
} VkPhysicalDeviceMemoryProperties2;
typedef struct {
    CHAIN;
    VkDeviceSize heapBudget[16], heapUsage[16];
} VkPhysicalDeviceMemoryBudgetPropertiesEXT;
typedef struct {
    VkFlags queueFlags;
    uint32_t queueCount, timestampValidBits, minImageTransferGranularity[3];
} VkQueueFamilyProperties;

/* Features, with the indexes of those that are asked for. */
enum { F10_INT64 = 40, F10_INT16 = 41 };
enum { F11_STORAGE16 = 0 };
enum {
    F12_STORAGE8 = 2,
    F12_FLOAT16 = 7,
    F12_INT8 = 8,
    F12_SCALAR_LAYOUT = 31,
    F12_SUBGROUP_TYPES = 34,
    F12_HOST_QUERY_RESET = 36,
    F12_TIMELINE = 37,
    F12_DEVICE_ADDRESS = 38,
    F12_MEMORY_MODEL = 41,
    F12_MEMORY_MODEL_DEVICE = 42,
};
enum {
    F13_SUBGROUP_SIZE = 7,
    F13_FULL_SUBGROUPS = 8,
    F13_SYNCHRONIZATION2 = 9,
    F13_INTEGER_DOT = 13,
    F13_MAINTENANCE4 = 14,
};
typedef struct { CHAIN; VkBool32 has[55]; } VkPhysicalDeviceFeatures2;
typedef struct { CHAIN; VkBool32 has[12]; } VkPhysicalDeviceVulkan11Features;
typedef struct { CHAIN; VkBool32 has[47]; } VkPhysicalDeviceVulkan12Features;
typedef struct { CHAIN; VkBool32 has[15]; } VkPhysicalDeviceVulkan13Features;
typedef struct { CHAIN; VkBool32 has[1]; } VkPhysicalDeviceSynchronization2Features;
typedef struct { CHAIN; VkBool32 has[1]; } VkPhysicalDeviceMaintenance4Features;
typedef struct { CHAIN; VkBool32 has[2]; } VkPhysicalDeviceSubgroupSizeControlFeatures;
typedef struct { CHAIN; VkBool32 has[2]; } VkPhysicalDeviceCooperativeMatrixFeaturesKHR;
typedef struct { CHAIN; VkBool32 has[3]; } VkPhysicalDeviceShaderBfloat16FeaturesKHR;

enum { SCOPE_SUBGROUP = 3, SUBGROUP_ARITHMETIC = 4 };
typedef struct {
    CHAIN;
    uint32_t MSize, NSize, KSize;
    int32_t AType, BType, CType, ResultType;
    VkBool32 saturatingAccumulation;
    int32_t scope;
} VkCooperativeMatrixPropertiesKHR;

/* --- device --- */

typedef struct {
    CHAIN;
    VkFlags flags;
    uint32_t queueFamilyIndex, queueCount;
    const float *pQueuePriorities;
} VkDeviceQueueCreateInfo;

typedef struct {
    CHAIN;
    VkFlags flags;
    uint32_t queueCreateInfoCount;
    const VkDeviceQueueCreateInfo *pQueueCreateInfos;
    uint32_t enabledLayerCount;
    const char *const *ppEnabledLayerNames;
    uint32_t enabledExtensionCount;
    const char *const *ppEnabledExtensionNames;
    const void *pEnabledFeatures;
} VkDeviceCreateInfo;

typedef struct {
    CHAIN;
    VkFlags flags;
    VkDeviceSize size;
    VkFlags usage;
    int32_t sharingMode;
    uint32_t queueFamilyIndexCount;
    const uint32_t *pQueueFamilyIndices;
} VkBufferCreateInfo;

typedef struct {
    VkDeviceSize size, alignment;
    uint32_t memoryTypeBits;
} VkMemoryRequirements;

typedef struct {
    CHAIN;
    VkDeviceSize allocationSize;
    uint32_t memoryTypeIndex;
} VkMemoryAllocateInfo;

typedef struct { CHAIN; VkFlags flags; uint32_t deviceMask; } VkMemoryAllocateFlagsInfo;
typedef struct { CHAIN; VkBuffer buffer; } VkBufferDeviceAddressInfo;
typedef struct { CHAIN; VkFlags handleTypes; } VkExternalMemoryBufferCreateInfo;
typedef struct { CHAIN; int32_t handleType; void *pHostPointer; } VkImportMemoryHostPointerInfoEXT;
typedef struct { CHAIN; uint32_t memoryTypeBits; } VkMemoryHostPointerPropertiesEXT;

/* --- synchronization and recording --- */

typedef struct { CHAIN; VkFlags flags; } VkSemaphoreCreateInfo;
typedef struct { CHAIN; int32_t semaphoreType; uint64_t initialValue; } VkSemaphoreTypeCreateInfo;

typedef struct {
    CHAIN;
    VkFlags flags;
    uint32_t semaphoreCount;
    const VkSemaphore *pSemaphores;
    const uint64_t *pValues;
} VkSemaphoreWaitInfo;

typedef struct {
    CHAIN;
    VkSemaphore semaphore;
    uint64_t value;
    VkFlags64 stageMask;
    uint32_t deviceIndex;
} VkSemaphoreSubmitInfo;

typedef struct {
    CHAIN;
    VkCommandBuffer commandBuffer;
    uint32_t deviceMask;
} VkCommandBufferSubmitInfo;

typedef struct {
    CHAIN;
    VkFlags flags;
    uint32_t waitSemaphoreInfoCount;
    const VkSemaphoreSubmitInfo *pWaitSemaphoreInfos;
    uint32_t commandBufferInfoCount;
    const VkCommandBufferSubmitInfo *pCommandBufferInfos;
    uint32_t signalSemaphoreInfoCount;
    const VkSemaphoreSubmitInfo *pSignalSemaphoreInfos;
} VkSubmitInfo2;

typedef struct {
    CHAIN;
    VkFlags64 srcStageMask, srcAccessMask, dstStageMask, dstAccessMask;
} VkMemoryBarrier2;

typedef struct {
    CHAIN;
    VkFlags dependencyFlags;
    uint32_t memoryBarrierCount;
    const VkMemoryBarrier2 *pMemoryBarriers;
    uint32_t bufferMemoryBarrierCount;
    const void *pBufferMemoryBarriers;
    uint32_t imageMemoryBarrierCount;
    const void *pImageMemoryBarriers;
} VkDependencyInfo;

typedef struct { VkDeviceSize srcOffset, dstOffset, size; } VkBufferCopy;

/* --- pipelines --- */

typedef struct {
    CHAIN;
    VkFlags flags;
    size_t codeSize;
    const uint32_t *pCode;
} VkShaderModuleCreateInfo;

typedef struct { VkFlags stageFlags; uint32_t offset, size; } VkPushConstantRange;

typedef struct {
    CHAIN;
    VkFlags flags;
    uint32_t setLayoutCount;
    const void *pSetLayouts;
    uint32_t pushConstantRangeCount;
    const VkPushConstantRange *pPushConstantRanges;
} VkPipelineLayoutCreateInfo;

typedef struct { uint32_t constantID, offset; size_t size; } VkSpecializationMapEntry;

typedef struct {
    uint32_t mapEntryCount;
    const VkSpecializationMapEntry *pMapEntries;
    size_t dataSize;
    const void *pData;
} VkSpecializationInfo;

typedef struct {
    CHAIN;
    VkFlags flags;
    int32_t stage;
    VkShaderModule module;
    const char *pName;
    const VkSpecializationInfo *pSpecializationInfo;
} VkPipelineShaderStageCreateInfo;

typedef struct { CHAIN; uint32_t requiredSubgroupSize; } VkRequiredSubgroupSizeCreateInfo;

typedef struct {
    CHAIN;
    VkFlags flags;
    VkPipelineShaderStageCreateInfo stage;
    VkPipelineLayout layout;
    VkPipeline basePipelineHandle;
    int32_t basePipelineIndex;
} VkComputePipelineCreateInfo;

typedef struct {
    CHAIN;
    VkFlags flags;
    size_t initialDataSize;
    const void *pInitialData;
} VkPipelineCacheCreateInfo;

#endif
