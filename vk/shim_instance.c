//go:build cgo && linux

/* The shim's loader, instance, validation messages and physical devices. */

#include "shim.h"
#include "shim_internal.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *ufm_load(const char *library, char *why, size_t why_size) {
    /* Never closed: the binding keeps pointers into it. */
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    void *symbol = handle ? dlsym(handle, "vkGetInstanceProcAddr") : NULL;
    if (!symbol) {
        const char *reason = dlerror();
        snprintf(why, why_size, "%s", reason ? reason : "no reason given");
    }
    return symbol;
}

/* --- validation messages --- */

static pthread_mutex_t message_lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t message_count;
static char message_text[8192];

/* Called by the layer on any thread, possibly during another call of ours: it counts and
 * copies, and calls nothing of Vulkan or Go. */
static VkBool32 on_message(int32_t severity, VkFlags types, const VkMessage *message, void *user) {
    (void)severity, (void)types, (void)user;
    pthread_mutex_lock(&message_lock);
    message_count++;
    size_t used = strlen(message_text);
    snprintf(message_text + used, sizeof message_text - used, "%s\n",
             message->pMessage ? message->pMessage : "");
    pthread_mutex_unlock(&message_lock);
    return 0;
}

uint64_t ufm_validation_count(void) {
    pthread_mutex_lock(&message_lock);
    uint64_t n = message_count;
    pthread_mutex_unlock(&message_lock);
    return n;
}

void ufm_validation_text(char *text, size_t size) {
    pthread_mutex_lock(&message_lock);
    snprintf(text, size, "%s", message_text);
    pthread_mutex_unlock(&message_lock);
}

/* --- instance --- */

static int32_t load_instance(ufm_instance *in, PFN_vkGetInstanceProcAddr get) {
#define LOAD(name) in->name = (PFN_##name)get(in->handle, #name);
    INSTANCE_FUNCTIONS(LOAD)
#undef LOAD
#define CHECK(name) if (!in->name) return VK_ERROR_INITIALIZATION_FAILED;
    INSTANCE_FUNCTIONS(CHECK)
#undef CHECK
    in->vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR =
        (PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR)get(
            in->handle, "vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR");
    in->vkCreateDebugUtilsMessengerEXT =
        (PFN_vkCreateDebugUtilsMessengerEXT)get(in->handle, "vkCreateDebugUtilsMessengerEXT");
    in->vkDestroyDebugUtilsMessengerEXT =
        (PFN_vkDestroyDebugUtilsMessengerEXT)get(in->handle, "vkDestroyDebugUtilsMessengerEXT");
    return VK_SUCCESS;
}

int32_t ufm_instance_new(void *get_instance_proc_addr, uint32_t validate, ufm_instance **out) {
    PFN_vkGetInstanceProcAddr get = (PFN_vkGetInstanceProcAddr)get_instance_proc_addr;
    PFN_vkCreateInstance create = (PFN_vkCreateInstance)get(NULL, "vkCreateInstance");
    /* A loader without this function is of Vulkan 1.0, which may refuse later versions. */
    if (!create || !get(NULL, "vkEnumerateInstanceVersion"))
        return VK_ERROR_INCOMPATIBLE_DRIVER;

    const char *layers[] = {"VK_LAYER_KHRONOS_validation"};
    const char *extensions[] = {"VK_EXT_debug_utils", "VK_EXT_validation_features"};
    const int32_t sync[] = {VALIDATE_SYNCHRONIZATION};
    const int32_t gpu[] = {VALIDATE_GPU_ASSISTED, VALIDATE_RESERVE_BINDING_SLOT};
    VkDebugUtilsMessengerCreateInfoEXT messenger = {
        .sType = S_DEBUG_UTILS_MESSENGER_CREATE_INFO,
        .messageSeverity = MESSAGE_SEVERITY_WARNING | MESSAGE_SEVERITY_ERROR,
        .messageType = MESSAGE_TYPE_VALIDATION,
        .pfnUserCallback = on_message,
    };
    VkValidationFeaturesEXT checks = {
        .sType = S_VALIDATION_FEATURES,
        .pNext = &messenger, /* so that messages of creation and destruction count too */
        .enabledValidationFeatureCount = validate == UFM_VALIDATE_SYNC  ? 1
                                         : validate == UFM_VALIDATE_GPU ? 2
                                                                        : 0,
        .pEnabledValidationFeatures = validate == UFM_VALIDATE_GPU ? gpu : sync,
    };
    VkApplicationInfo application = {
        .sType = S_APPLICATION_INFO,
        .pApplicationName = "ufm",
        .apiVersion = VK_API_VERSION_1_3,
    };
    int on = validate != UFM_VALIDATE_NONE;
    VkInstanceCreateInfo info = {
        .sType = S_INSTANCE_CREATE_INFO,
        .pNext = on ? &checks : NULL,
        .pApplicationInfo = &application,
        .enabledLayerCount = on ? 1 : 0,
        .ppEnabledLayerNames = layers,
        .enabledExtensionCount = on ? 2 : 0,
        .ppEnabledExtensionNames = extensions,
    };

    ufm_instance *in = calloc(1, sizeof *in);
    if (!in)
        return VK_ERROR_OUT_OF_HOST_MEMORY;
    int32_t r = create(&info, NULL, &in->handle);
    if (r != VK_SUCCESS) {
        free(in);
        return r;
    }
    r = load_instance(in, get);
    if (r == VK_SUCCESS && on && in->vkCreateDebugUtilsMessengerEXT)
        r = in->vkCreateDebugUtilsMessengerEXT(in->handle, &messenger, NULL, &in->messenger);
    if (r != VK_SUCCESS) {
        ufm_instance_close(in);
        return r;
    }
    *out = in;
    return VK_SUCCESS;
}

void ufm_instance_close(ufm_instance *in) {
    if (in->messenger)
        in->vkDestroyDebugUtilsMessengerEXT(in->handle, in->messenger, NULL);
    if (in->vkDestroyInstance)
        in->vkDestroyInstance(in->handle, NULL);
    free(in);
}

void *ufm_instance_handle(const ufm_instance *in) { return in->handle; }

/* --- physical device --- */

static int32_t find_extensions(const ufm_instance *in, void *physical, uint32_t api,
                               uint32_t *found) {
    uint32_t n = 0;
    int32_t r = in->vkEnumerateDeviceExtensionProperties(physical, NULL, &n, NULL);
    if (r < 0)
        return r;
    VkExtensionProperties *all = calloc(n + 1, sizeof *all);
    if (!all)
        return VK_ERROR_OUT_OF_HOST_MEMORY;
    r = in->vkEnumerateDeviceExtensionProperties(physical, NULL, &n, all);
    for (uint32_t i = 0; r >= 0 && i < n; i++)
        *found |= extension_bit(all[i].extensionName, api);
    free(all);
    return r < 0 ? r : VK_SUCCESS;
}

static void describe_properties(const ufm_instance *in, void *physical, uint32_t api,
                                ufm_description *out) {
    VkPhysicalDeviceMaintenance4Properties m4 = {.sType = S_MAINTENANCE_4_PROPERTIES};
    VkPhysicalDeviceSubgroupSizeControlProperties sizes = {
        .sType = S_SUBGROUP_SIZE_CONTROL_PROPERTIES};
    VkPhysicalDeviceExternalMemoryHostPropertiesEXT imports = {
        .sType = S_EXTERNAL_MEMORY_HOST_PROPERTIES};
    VkPhysicalDeviceMaintenance3Properties m3 = {.sType = S_MAINTENANCE_3_PROPERTIES};
    VkPhysicalDeviceSubgroupProperties subgroup = {.sType = S_SUBGROUP_PROPERTIES, .pNext = &m3};
    VkPhysicalDeviceDriverProperties driver = {.sType = S_DRIVER_PROPERTIES, .pNext = &subgroup};
    VkPhysicalDeviceProperties2 all = {.sType = S_PROPERTIES_2, .pNext = &driver};
    if (api >= VK_API_VERSION_1_3 || out->extensions & UFM_EXT_MAINTENANCE4)
        m4.pNext = m3.pNext, m3.pNext = &m4;
    if (api >= VK_API_VERSION_1_3 || out->extensions & UFM_EXT_SUBGROUP_SIZE)
        sizes.pNext = m3.pNext, m3.pNext = &sizes;
    if (out->extensions & UFM_EXT_HOST_MEMORY)
        imports.pNext = m3.pNext, m3.pNext = &imports;
    in->vkGetPhysicalDeviceProperties2(physical, &all);

    memcpy(out->driver_name, driver.driverName, sizeof driver.driverName);
    memcpy(out->driver_info, driver.driverInfo, sizeof driver.driverInfo);
    if (subgroup.supportedStages & SHADER_STAGE_COMPUTE &&
        subgroup.supportedOperations & SUBGROUP_ARITHMETIC)
        out->features |= UFM_SUBGROUP_ARITHMETIC;
    out->subgroup = subgroup.subgroupSize;
    out->subgroup_min = sizes.minSubgroupSize;
    out->subgroup_max = sizes.maxSubgroupSize;
    out->import_alignment = imports.minImportedHostPointerAlignment;
    out->max_allocation = m3.maxMemoryAllocationSize;
    if (m4.maxBufferSize && m4.maxBufferSize < out->max_allocation)
        out->max_allocation = m4.maxBufferSize;
}

static void describe_memory(const ufm_instance *in, void *physical, ufm_description *out) {
    VkPhysicalDeviceMemoryProperties2 m = {.sType = S_MEMORY_PROPERTIES_2};
    in->vkGetPhysicalDeviceMemoryProperties2(physical, &m);
    out->heap_count = m.memoryHeapCount;
    for (uint32_t i = 0; i < m.memoryHeapCount; i++) {
        out->heap_size[i] = m.memoryHeaps[i].size;
        out->heap_flags[i] = m.memoryHeaps[i].flags;
    }
    out->type_count = m.memoryTypeCount;
    for (uint32_t i = 0; i < m.memoryTypeCount; i++) {
        out->type_flags[i] = m.memoryTypes[i].propertyFlags;
        out->type_heap[i] = m.memoryTypes[i].heapIndex;
    }
}

static void describe_queues(const ufm_instance *in, void *physical, ufm_description *out) {
    VkQueueFamilyProperties families[UFM_MAX_FAMILIES];
    uint32_t n = UFM_MAX_FAMILIES;
    in->vkGetPhysicalDeviceQueueFamilyProperties(physical, &n, families);
    out->family_count = n;
    for (uint32_t i = 0; i < n; i++) {
        out->family_flags[i] = families[i].queueFlags;
        out->family_queues[i] = families[i].queueCount;
        out->family_timestamp_bits[i] = families[i].timestampValidBits;
    }
}

/* The shapes that a subgroup multiplies. A driver that does not tell has none. */
static void describe_matrices(const ufm_instance *in, void *physical, ufm_description *out) {
    enum { MOST = 256 };
    uint32_t n = MOST;
    if (!(out->features & UFM_COOPERATIVE_MATRIX) ||
        !in->vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR)
        return;
    VkCooperativeMatrixPropertiesKHR *all = calloc(MOST, sizeof *all);
    if (!all)
        return;
    for (uint32_t i = 0; i < MOST; i++)
        all[i].sType = S_COOPERATIVE_MATRIX_PROPERTIES;
    if (in->vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR(physical, &n, all) < 0)
        n = 0;
    for (uint32_t i = 0; i < n && out->matrix_count < UFM_MAX_MATRICES; i++)
        if (all[i].scope == SCOPE_SUBGROUP && !all[i].saturatingAccumulation)
            out->matrices[out->matrix_count++] = (ufm_matrix){
                {all[i].MSize, all[i].NSize, all[i].KSize},
                {all[i].AType, all[i].BType, all[i].CType, all[i].ResultType},
            };
    free(all);
}

int32_t ufm_describe(const ufm_instance *in, void *physical, uint32_t api, ufm_description *out) {
    memset(out, 0, sizeof *out);
    if (api < VK_API_VERSION_1_2)
        return VK_SUCCESS;
    int32_t r = find_extensions(in, physical, api, &out->extensions);
    if (r != VK_SUCCESS)
        return r;
    struct features f;
    features_link(&f, api, out->extensions);
    in->vkGetPhysicalDeviceFeatures2(physical, &f.core);
    out->features = features_get(&f);
    describe_properties(in, physical, api, out);
    describe_memory(in, physical, out);
    describe_queues(in, physical, out);
    describe_matrices(in, physical, out);
    return VK_SUCCESS;
}

void ufm_memory_budget(const ufm_instance *in, void *physical, uint64_t budget[UFM_MAX_HEAPS],
                       uint64_t used[UFM_MAX_HEAPS]) {
    VkPhysicalDeviceMemoryBudgetPropertiesEXT b = {.sType = S_MEMORY_BUDGET_PROPERTIES};
    VkPhysicalDeviceMemoryProperties2 m = {.sType = S_MEMORY_PROPERTIES_2, .pNext = &b};
    in->vkGetPhysicalDeviceMemoryProperties2(physical, &m);
    memcpy(budget, b.heapBudget, sizeof b.heapBudget);
    memcpy(used, b.heapUsage, sizeof b.heapUsage);
}
