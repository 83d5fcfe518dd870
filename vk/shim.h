/*
 * The calls that the Go binding lacks or makes unsafely, with flat arguments: numbers,
 * handles and arrays that are read during the call alone. Structs for Vulkan are built
 * on the C side, so no Go memory is ever kept.
 *
 * Functions return a VkResult. Handles that need not be pointers travel as uint64_t.
 */
#ifndef UFM_SHIM_H
#define UFM_SHIM_H

#include <stddef.h>
#include <stdint.h>

typedef struct ufm_instance ufm_instance;
typedef struct ufm_device ufm_device;

/* --- loader and instance (shim_instance.c) --- */

/* Opens the loader and returns its vkGetInstanceProcAddr, or NULL and why in words. */
void *ufm_load(const char *library, char *why, size_t why_size);

/* What the Khronos layer checks. */
enum { UFM_VALIDATE_NONE, UFM_VALIDATE_CORE, UFM_VALIDATE_SYNC, UFM_VALIDATE_GPU };

int32_t ufm_instance_new(void *get_instance_proc_addr, uint32_t validate, ufm_instance **out);
void ufm_instance_close(ufm_instance *instance);
void *ufm_instance_handle(const ufm_instance *instance);

/* Warnings and errors of the validation layer since the process began, of all instances. */
uint64_t ufm_validation_count(void);
/* The first of them as text, cut to size. */
void ufm_validation_text(char *text, size_t size);

/* --- physical device (shim_instance.c) --- */

/* Features, as bits; those up to UFM_REQUIRED are required. */
enum {
    UFM_DEVICE_ADDRESS = 1 << 0,
    UFM_TIMELINE = 1 << 1,
    UFM_SYNCHRONIZATION2 = 1 << 2,
    UFM_HOST_QUERY_RESET = 1 << 3,
    UFM_SCALAR_LAYOUT = 1 << 4,
    UFM_INT64 = 1 << 5,
    UFM_STORAGE16 = 1 << 6,
    UFM_REQUIRED = (1 << 7) - 1,

    UFM_MAINTENANCE4 = 1 << 7,
    UFM_INT16 = 1 << 8,
    UFM_INT8 = 1 << 9,
    UFM_STORAGE8 = 1 << 10,
    UFM_FLOAT16 = 1 << 11,
    UFM_SUBGROUP_TYPES = 1 << 12,
    UFM_SUBGROUP_SIZE = 1 << 13,
    UFM_FULL_SUBGROUPS = 1 << 14,
    UFM_MEMORY_MODEL = 1 << 15,
    UFM_MEMORY_MODEL_DEVICE = 1 << 16,
    UFM_INTEGER_DOT = 1 << 17,
    UFM_COOPERATIVE_MATRIX = 1 << 18,
    UFM_BFLOAT16 = 1 << 19,
    UFM_BFLOAT16_MATRIX = 1 << 20,
    UFM_SUBGROUP_ARITHMETIC = 1 << 21, /* in compute; nothing to enable */
};

/* Extensions that are present and not replaced by the device's version, as bits. */
enum {
    UFM_EXT_SYNCHRONIZATION2 = 1 << 0,
    UFM_EXT_MAINTENANCE4 = 1 << 1,
    UFM_EXT_SUBGROUP_SIZE = 1 << 2,
    UFM_EXT_MEMORY_BUDGET = 1 << 3,
    UFM_EXT_COOPERATIVE_MATRIX = 1 << 4,
    UFM_EXT_BFLOAT16 = 1 << 5,
    UFM_EXT_HOST_MEMORY = 1 << 6,
};

enum { UFM_MAX_HEAPS = 16, UFM_MAX_TYPES = 32, UFM_MAX_FAMILIES = 16, UFM_MAX_MATRICES = 64 };

/* A product of matrices that a subgroup can do: sizes M, N, K; types of A, B, C, result. */
typedef struct { uint32_t size[3]; int32_t type[4]; } ufm_matrix;

/* What the core 1.0 queries of the binding do not tell of a physical device. */
typedef struct {
    char driver_name[256], driver_info[256];
    uint32_t features, extensions;
    uint32_t subgroup, subgroup_min, subgroup_max;
    uint64_t max_allocation; /* bytes of one allocation and of one buffer */
    uint64_t import_alignment; /* of memory for ufm_memory_import; needs UFM_EXT_HOST_MEMORY */
    uint32_t heap_count, type_count, family_count;
    uint64_t heap_size[UFM_MAX_HEAPS];
    uint32_t heap_flags[UFM_MAX_HEAPS];
    uint32_t type_flags[UFM_MAX_TYPES], type_heap[UFM_MAX_TYPES];
    uint32_t family_flags[UFM_MAX_FAMILIES], family_queues[UFM_MAX_FAMILIES];
    uint32_t family_timestamp_bits[UFM_MAX_FAMILIES];
    uint32_t matrix_count;
    ufm_matrix matrices[UFM_MAX_MATRICES];
} ufm_description;

/* api is the device's version; below 1.2 nothing is asked and all stays zero. */
int32_t ufm_describe(const ufm_instance *instance, void *physical, uint32_t api,
                     ufm_description *out);

/* Budget and use of each heap as the driver sees them; needs UFM_EXT_MEMORY_BUDGET. */
void ufm_memory_budget(const ufm_instance *instance, void *physical,
                       uint64_t budget[UFM_MAX_HEAPS], uint64_t used[UFM_MAX_HEAPS]);

/* --- device (shim_device.c) --- */

/* Enables all that the description found. families and counts: the queues to make. */
int32_t ufm_device_new(const ufm_instance *instance, void *physical, uint32_t api,
                       const ufm_description *description, const uint32_t *families,
                       const uint32_t *counts, uint32_t family_count, ufm_device **out);
void *ufm_device_handle(const ufm_device *device);
/* Frees the shim's own memory, after the device itself has been destroyed. */
void ufm_device_free(ufm_device *device);

/* Makes a buffer that all the families may use, and tells what memory it needs. imported:
 * whether that will be imported memory. */
int32_t ufm_buffer_new(const ufm_device *device, uint64_t size, uint32_t imported,
                       const uint32_t *families, uint32_t family_count, uint64_t *buffer,
                       uint64_t *need, uint32_t *types);
int32_t ufm_memory_new(const ufm_device *device, uint64_t size, uint32_t type, uint64_t *memory);
/* The memory types, a bit each, that can take in the host's memory at start. */
int32_t ufm_import_types(const ufm_device *device, void *start, uint32_t *types);
/* Makes memory of what the host has at start; it must outlive the memory. */
int32_t ufm_memory_import(const ufm_device *device, void *start, uint64_t size, uint32_t type,
                          uint64_t *memory);
uint64_t ufm_buffer_address(const ufm_device *device, uint64_t buffer);

int32_t ufm_cache_new(const ufm_device *device, const void *data, size_t size, uint64_t *cache);
/* spec: values of the constants 0..spec_count-1. subgroup: size to insist on, or 0. */
int32_t ufm_pipeline_new(const ufm_device *device, uint64_t cache, const uint32_t *code,
                         size_t code_bytes, const uint32_t *spec, uint32_t spec_count,
                         uint32_t push_bytes, uint32_t subgroup, uint64_t *layout,
                         uint64_t *pipeline);

/* --- queues, timelines and recording (shim_queue.c) --- */

int32_t ufm_timeline_new(const ufm_device *device, uint64_t *timeline);
int32_t ufm_timeline_value(const ufm_device *device, uint64_t timeline, uint64_t *value);
/* Polls for spin_ns, then for at most block_ns with naps in between or, where nap_ns is 0,
 * blocks. VK_SUCCESS, VK_TIMEOUT or an error. */
int32_t ufm_timeline_wait(const ufm_device *device, uint64_t timeline, uint64_t value,
                          uint64_t spin_ns, uint64_t nap_ns, uint64_t block_ns);

/* One point of a timeline, to wait for or to signal. */
typedef struct { uint64_t timeline, value; } ufm_point;
/* One submission: commands may be 0. Its points follow those of the one before it, in
 * one array for all: first the waits, then the signals. */
typedef struct { uint64_t commands; uint32_t waits, signals; } ufm_batch;
int32_t ufm_submit(const ufm_device *device, void *queue, const ufm_batch *batches,
                   uint32_t batch_count, const ufm_point *points, uint32_t point_count);

void ufm_copy(const ufm_device *device, void *commands, uint64_t from, uint64_t from_offset,
              uint64_t to, uint64_t to_offset, uint64_t size);
/* compute: whether the queue has compute, or only transfers. */
void ufm_barrier(const ufm_device *device, void *commands, uint32_t compute);
void ufm_dispatch_barrier(const ufm_device *device, void *commands);
void ufm_timestamp(const ufm_device *device, void *commands, uint64_t pool, uint32_t query);
void ufm_queries_reset(const ufm_device *device, uint64_t pool, uint32_t first, uint32_t count);

#endif
