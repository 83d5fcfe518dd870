//go:build cgo && linux

/* The shim's timelines, submissions and recorded commands. */

#include "shim_internal.h"

#include <stdlib.h>
#include <time.h>

/* --- timelines --- */

int32_t ufm_timeline_new(const ufm_device *d, uint64_t *timeline) {
    VkSemaphoreTypeCreateInfo type = {
        .sType = S_SEMAPHORE_TYPE_CREATE_INFO,
        .semaphoreType = SEMAPHORE_TYPE_TIMELINE,
    };
    VkSemaphoreCreateInfo info = {.sType = S_SEMAPHORE_CREATE_INFO, .pNext = &type};
    return d->vkCreateSemaphore(d->handle, &info, NULL, timeline);
}

int32_t ufm_timeline_value(const ufm_device *d, uint64_t timeline, uint64_t *value) {
    return d->vkGetSemaphoreCounterValue(d->handle, timeline, value);
}

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int32_t ufm_timeline_wait(const ufm_device *d, uint64_t timeline, uint64_t value,
                          uint64_t spin_ns, uint64_t nap_ns, uint64_t block_ns) {
    uint64_t start = now_ns(), now = start;
    do {
        uint64_t reached = 0;
        int32_t r = d->vkGetSemaphoreCounterValue(d->handle, timeline, &reached);
        if (r != VK_SUCCESS || reached >= value)
            return r;
        if (now - start >= spin_ns && nap_ns > 0)
            nanosleep(&(struct timespec){.tv_nsec = (long)nap_ns}, NULL);
        now = now_ns();
    } while (now - start < spin_ns || (nap_ns > 0 && now - start < spin_ns + block_ns));
    if (nap_ns > 0)
        block_ns = 0; /* but ask the driver: a counter need not tell of a lost device */
    VkSemaphoreWaitInfo info = {
        .sType = S_SEMAPHORE_WAIT_INFO,
        .semaphoreCount = 1,
        .pSemaphores = &timeline,
        .pValues = &value,
    };
    return d->vkWaitSemaphores(d->handle, &info, block_ns);
}

/* --- submission --- */

int32_t ufm_submit(const ufm_device *d, void *queue, const ufm_batch *batches,
                   uint32_t batch_count, const ufm_point *points, uint32_t point_count) {
    /* One block for the three arrays, largest alignment first; all have that of a pointer. */
    size_t bytes = batch_count * (sizeof(VkSubmitInfo2) + sizeof(VkCommandBufferSubmitInfo)) +
                   point_count * sizeof(VkSemaphoreSubmitInfo);
    VkSubmitInfo2 *infos = malloc(bytes);
    if (!infos)
        return VK_ERROR_OUT_OF_HOST_MEMORY;
    VkCommandBufferSubmitInfo *commands = (VkCommandBufferSubmitInfo *)(infos + batch_count);
    VkSemaphoreSubmitInfo *semaphores = (VkSemaphoreSubmitInfo *)(commands + batch_count);

    for (uint32_t i = 0; i < point_count; i++)
        semaphores[i] = (VkSemaphoreSubmitInfo){
            .sType = S_SEMAPHORE_SUBMIT_INFO,
            .semaphore = points[i].timeline,
            .value = points[i].value,
            .stageMask = STAGE_ALL_COMMANDS,
        };
    for (uint32_t i = 0; i < batch_count; i++) {
        commands[i] = (VkCommandBufferSubmitInfo){
            .sType = S_COMMAND_BUFFER_SUBMIT_INFO,
            .commandBuffer = (VkCommandBuffer)(uintptr_t)batches[i].commands,
        };
        infos[i] = (VkSubmitInfo2){
            .sType = S_SUBMIT_INFO_2,
            .waitSemaphoreInfoCount = batches[i].waits,
            .pWaitSemaphoreInfos = semaphores,
            .commandBufferInfoCount = batches[i].commands ? 1 : 0,
            .pCommandBufferInfos = &commands[i],
            .signalSemaphoreInfoCount = batches[i].signals,
            .pSignalSemaphoreInfos = semaphores + batches[i].waits,
        };
        semaphores += batches[i].waits + batches[i].signals;
    }
    int32_t r = d->vkQueueSubmit2(queue, batch_count, infos, 0);
    free(infos);
    return r;
}

/* --- recording --- */

void ufm_copy(const ufm_device *d, void *commands, uint64_t from, uint64_t from_offset,
              uint64_t to, uint64_t to_offset, uint64_t size) {
    VkBufferCopy region = {.srcOffset = from_offset, .dstOffset = to_offset, .size = size};
    d->vkCmdCopyBuffer(commands, from, to, 1, &region);
}

void ufm_barrier(const ufm_device *d, void *commands, uint32_t compute) {
    VkMemoryBarrier2 barrier = {
        .sType = S_MEMORY_BARRIER_2,
        .srcStageMask = STAGE_TRANSFER,
        .srcAccessMask = ACCESS_TRANSFER_WRITE,
        .dstStageMask = STAGE_TRANSFER | STAGE_HOST,
        .dstAccessMask = ACCESS_TRANSFER_READ | ACCESS_TRANSFER_WRITE | ACCESS_HOST_READ,
    };
    if (compute) { /* these stages do not exist on a transfer queue */
        barrier.srcStageMask |= STAGE_COMPUTE_SHADER | STAGE_DRAW_INDIRECT;
        barrier.srcAccessMask |= ACCESS_SHADER_WRITE;
        barrier.dstStageMask |= STAGE_COMPUTE_SHADER | STAGE_DRAW_INDIRECT;
        barrier.dstAccessMask |= ACCESS_SHADER_READ | ACCESS_SHADER_WRITE | ACCESS_INDIRECT_READ;
    }
    VkDependencyInfo info = {
        .sType = S_DEPENDENCY_INFO,
        .memoryBarrierCount = 1,
        .pMemoryBarriers = &barrier,
    };
    d->vkCmdPipelineBarrier2(commands, &info);
}

void ufm_dispatch_barrier(const ufm_device *d, void *commands) {
    VkMemoryBarrier2 barrier = {
        .sType = S_MEMORY_BARRIER_2,
        .srcStageMask = STAGE_COMPUTE_SHADER,
        .srcAccessMask = ACCESS_SHADER_WRITE,
        .dstStageMask = STAGE_COMPUTE_SHADER,
        .dstAccessMask = ACCESS_SHADER_READ | ACCESS_SHADER_WRITE,
    };
    VkDependencyInfo info = {
        .sType = S_DEPENDENCY_INFO,
        .memoryBarrierCount = 1,
        .pMemoryBarriers = &barrier,
    };
    d->vkCmdPipelineBarrier2(commands, &info);
}

void ufm_timestamp(const ufm_device *d, void *commands, uint64_t pool, uint32_t query) {
    d->vkCmdWriteTimestamp2(commands, STAGE_ALL_COMMANDS, pool, query);
}

void ufm_queries_reset(const ufm_device *d, uint64_t pool, uint32_t first, uint32_t count) {
    d->vkResetQueryPool(d->handle, pool, first, count);
}
