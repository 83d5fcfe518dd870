/* What the shim's files share: function tables, the feature chain, the extensions. */
#ifndef UFM_SHIM_INTERNAL_H
#define UFM_SHIM_INTERNAL_H

#include "abi.h"
#include "shim.h"

typedef void (*PFN_void)(void);
typedef PFN_void (*PFN_vkGetInstanceProcAddr)(VkInstance, const char *);
typedef VkResult (*PFN_vkCreateInstance)(const VkInstanceCreateInfo *, const void *, VkInstance *);

/* --- instance functions --- */

typedef void (*PFN_vkDestroyInstance)(VkInstance, const void *);
typedef VkResult (*PFN_vkCreateDebugUtilsMessengerEXT)(
    VkInstance, const VkDebugUtilsMessengerCreateInfoEXT *, const void *, VkMessenger *);
typedef void (*PFN_vkDestroyDebugUtilsMessengerEXT)(VkInstance, VkMessenger, const void *);
typedef VkResult (*PFN_vkEnumerateDeviceExtensionProperties)(VkPhysicalDevice, const char *,
                                                             uint32_t *, VkExtensionProperties *);
typedef void (*PFN_vkGetPhysicalDeviceFeatures2)(VkPhysicalDevice, VkPhysicalDeviceFeatures2 *);
typedef void (*PFN_vkGetPhysicalDeviceProperties2)(VkPhysicalDevice,
                                                   VkPhysicalDeviceProperties2 *);
typedef void (*PFN_vkGetPhysicalDeviceMemoryProperties2)(VkPhysicalDevice,
                                                         VkPhysicalDeviceMemoryProperties2 *);
typedef void (*PFN_vkGetPhysicalDeviceQueueFamilyProperties)(VkPhysicalDevice, uint32_t *,
                                                             VkQueueFamilyProperties *);
typedef VkResult (*PFN_vkCreateDevice)(VkPhysicalDevice, const VkDeviceCreateInfo *, const void *,
                                       VkDevice *);
typedef PFN_void (*PFN_vkGetDeviceProcAddr)(VkDevice, const char *);

typedef VkResult (*PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR)(
    VkPhysicalDevice, uint32_t *, VkCooperativeMatrixPropertiesKHR *);

#define INSTANCE_FUNCTIONS(X)                   \
    X(vkDestroyInstance)                        \
    X(vkEnumerateDeviceExtensionProperties)     \
    X(vkGetPhysicalDeviceFeatures2)             \
    X(vkGetPhysicalDeviceProperties2)           \
    X(vkGetPhysicalDeviceMemoryProperties2)     \
    X(vkGetPhysicalDeviceQueueFamilyProperties) \
    X(vkCreateDevice)                           \
    X(vkGetDeviceProcAddr)

struct ufm_instance {
    VkInstance handle;
    VkMessenger messenger; /* 0 without validation */
#define MEMBER(name) PFN_##name name;
    INSTANCE_FUNCTIONS(MEMBER)
#undef MEMBER
    /* These may be missing. */
    PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR
        vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR;
    PFN_vkCreateDebugUtilsMessengerEXT vkCreateDebugUtilsMessengerEXT;
    PFN_vkDestroyDebugUtilsMessengerEXT vkDestroyDebugUtilsMessengerEXT;
};

/* --- device functions --- */

typedef void (*PFN_vkDestroyDevice)(VkDevice, const void *);
typedef VkResult (*PFN_vkCreateBuffer)(VkDevice, const VkBufferCreateInfo *, const void *,
                                       VkBuffer *);
typedef void (*PFN_vkGetBufferMemoryRequirements)(VkDevice, VkBuffer, VkMemoryRequirements *);
typedef VkResult (*PFN_vkAllocateMemory)(VkDevice, const VkMemoryAllocateInfo *, const void *,
                                         VkDeviceMemory *);
typedef uint64_t (*PFN_vkGetBufferDeviceAddress)(VkDevice, const VkBufferDeviceAddressInfo *);
typedef VkResult (*PFN_vkGetMemoryHostPointerPropertiesEXT)(VkDevice, int32_t, const void *,
                                                            VkMemoryHostPointerPropertiesEXT *);
typedef VkResult (*PFN_vkCreatePipelineCache)(VkDevice, const VkPipelineCacheCreateInfo *,
                                              const void *, VkPipelineCache *);
typedef VkResult (*PFN_vkCreateShaderModule)(VkDevice, const VkShaderModuleCreateInfo *,
                                             const void *, VkShaderModule *);
typedef void (*PFN_vkDestroyShaderModule)(VkDevice, VkShaderModule, const void *);
typedef VkResult (*PFN_vkCreatePipelineLayout)(VkDevice, const VkPipelineLayoutCreateInfo *,
                                               const void *, VkPipelineLayout *);
typedef void (*PFN_vkDestroyPipelineLayout)(VkDevice, VkPipelineLayout, const void *);
typedef VkResult (*PFN_vkCreateComputePipelines)(VkDevice, VkPipelineCache, uint32_t,
                                                 const VkComputePipelineCreateInfo *, const void *,
                                                 VkPipeline *);
typedef VkResult (*PFN_vkCreateSemaphore)(VkDevice, const VkSemaphoreCreateInfo *, const void *,
                                          VkSemaphore *);
typedef VkResult (*PFN_vkGetSemaphoreCounterValue)(VkDevice, VkSemaphore, uint64_t *);
typedef VkResult (*PFN_vkWaitSemaphores)(VkDevice, const VkSemaphoreWaitInfo *, uint64_t);
typedef VkResult (*PFN_vkQueueSubmit2)(VkQueue, uint32_t, const VkSubmitInfo2 *, uint64_t);
typedef void (*PFN_vkCmdCopyBuffer)(VkCommandBuffer, VkBuffer, VkBuffer, uint32_t,
                                    const VkBufferCopy *);
typedef void (*PFN_vkCmdPipelineBarrier2)(VkCommandBuffer, const VkDependencyInfo *);
typedef void (*PFN_vkCmdWriteTimestamp2)(VkCommandBuffer, VkFlags64, VkQueryPool, uint32_t);
typedef void (*PFN_vkResetQueryPool)(VkDevice, VkQueryPool, uint32_t, uint32_t);

#define DEVICE_FUNCTIONS(X)          \
    X(vkDestroyDevice)               \
    X(vkCreateBuffer)                \
    X(vkGetBufferMemoryRequirements) \
    X(vkAllocateMemory)              \
    X(vkGetBufferDeviceAddress)      \
    X(vkCreatePipelineCache)         \
    X(vkCreateShaderModule)          \
    X(vkDestroyShaderModule)         \
    X(vkCreatePipelineLayout)        \
    X(vkDestroyPipelineLayout)       \
    X(vkCreateComputePipelines)      \
    X(vkCreateSemaphore)             \
    X(vkGetSemaphoreCounterValue)    \
    X(vkWaitSemaphores)              \
    X(vkCmdCopyBuffer)               \
    X(vkResetQueryPool)

/* These have a KHR at their end where the extension is enabled. */
#define SYNCHRONIZATION2_FUNCTIONS(X) \
    X(vkQueueSubmit2)                 \
    X(vkCmdPipelineBarrier2)          \
    X(vkCmdWriteTimestamp2)

struct ufm_device {
    VkDevice handle;
#define MEMBER(name) PFN_##name name;
    DEVICE_FUNCTIONS(MEMBER)
    SYNCHRONIZATION2_FUNCTIONS(MEMBER)
#undef MEMBER
    /* NULL without UFM_EXT_HOST_MEMORY */
    PFN_vkGetMemoryHostPointerPropertiesEXT vkGetMemoryHostPointerPropertiesEXT;
};

/* --- features and extensions --- */

/* Every feature struct, to be filled by the driver or handed to it. Those of Vulkan 1.3
 * stand here twice: as that version's struct and as the extensions' for 1.2 devices. */
struct features {
    VkPhysicalDeviceFeatures2 core;
    VkPhysicalDeviceVulkan11Features v11;
    VkPhysicalDeviceVulkan12Features v12;
    VkPhysicalDeviceVulkan13Features v13;
    VkPhysicalDeviceSynchronization2Features synchronization2;
    VkPhysicalDeviceMaintenance4Features maintenance4;
    VkPhysicalDeviceSubgroupSizeControlFeatures subgroups;
    VkPhysicalDeviceCooperativeMatrixFeaturesKHR matrix;
    VkPhysicalDeviceShaderBfloat16FeaturesKHR bfloat16;
};

/* Clears f and chains the structs that a device of this version and these extensions knows. */
void features_link(struct features *f, uint32_t api, uint32_t extensions);
/* The UFM_* bits that are set in f, and the other way round. */
uint32_t features_get(const struct features *f);
void features_set(struct features *f, uint32_t bits);

/* The UFM_EXT_* bit of an extension that is used with version api, else 0. */
uint32_t extension_bit(const char *name, uint32_t api);
/* Writes the names of the extensions in bits and returns how many there are. */
#define MAX_EXTENSIONS 8
uint32_t extension_names(uint32_t bits, const char *names[MAX_EXTENSIONS]);

#endif
