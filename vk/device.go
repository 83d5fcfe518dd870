//go:build cgo && linux

package vk

// #include "shim.h"
import "C"

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vulkan-go/vulkan"
)

// Device is an open device.
type Device struct {
	instance  *instance
	physical  *physical
	shim      *C.ufm_device
	handle    vulkan.Device
	families  []C.uint32_t // that have queues; every buffer is shared among them
	compute   *Queue
	transfers []*Queue
	waitLimit time.Duration

	lost    atomic.Bool
	closed  atomic.Bool
	memory  ledger
	objects registry
	cache   pipelineCache

	retiredMu sync.Mutex
	retired   []vulkan.Semaphore // of closed timelines
}

// Info describes the device; its heaps are as they were when it was opened.
func (d *Device) Info() DeviceInfo { return d.physical.info }

// Lost reports whether the device was lost.
func (d *Device) Lost() bool { return d.lost.Load() }

// Compute is the queue for dispatches; it copies, too.
func (d *Device) Compute() *Queue { return d.compute }

// Transfers are the queues for copies: two or one of their own family, or the compute
// queue itself.
func (d *Device) Transfers() []*Queue { return slices.Clone(d.transfers) }

// SingleQueue reports whether transfers use the compute queue, so that nothing may be
// submitted that waits for a later submission.
func (d *Device) SingleQueue() bool { return d.transfers[0] == d.compute }

// DeviceMemory returns how many device-local bytes are taken now, and were at most.
func (d *Device) DeviceMemory() (now, peak int64) { return d.memory.taken() }

// DeviceMemoryFree returns how many device-local bytes can still be taken, as far as the
// driver tells: other processes may be faster.
func (d *Device) DeviceMemoryFree() int64 { return d.free(DeviceLocal, d.heaps()) }

// HostMemoryFree returns how much host memory can still be taken, as far as the driver
// tells. On a device with one heap for everything it is that heap's.
func (d *Device) HostMemoryFree() int64 { return d.free(HostCached, d.heaps()) }

// Close closes the device, and first all that was made from it and is still open, which
// is an error that says what. It waits for the queues to finish; if they do not within
// the wait limit, it gives up and frees nothing.
func (d *Device) Close() error {
	if d.closed.Swap(true) {
		return nil
	}
	if err := d.drain(); err != nil {
		return fmt.Errorf("vk: close device: %w", err)
	}
	err := d.objects.closeAll()
	for _, s := range d.retired {
		vulkan.DestroySemaphore(d.handle, s, nil)
	}
	d.cache.close(d)
	vulkan.DestroyDevice(d.handle, nil)
	C.ufm_device_free(d.shim)
	d.instance.close()
	return err
}

// drain waits until all queues are idle. vkDeviceWaitIdle would do that without end.
func (d *Device) drain() error {
	queues := d.Transfers()
	if !d.SingleQueue() {
		queues = append(queues, d.compute)
	}
	for _, q := range queues {
		t, err := d.newTimeline()
		if err != nil {
			return nil // lost: nothing runs any more
		}
		d.retire(t)
		err = q.submit([]Submission{{Signal: []Point{{t, 1}}}})
		if err == nil {
			err = t.block(1)
		}
		if errors.Is(err, ErrTimeout) {
			return err
		}
	}
	return nil
}

// usable is the error of any use of a device that is lost or closed.
func (d *Device) usable(what string) error {
	switch {
	case d.lost.Load():
		return fmt.Errorf("vk: %s: %w", what, ErrDeviceLost)
	case d.closed.Load():
		return fmt.Errorf("vk: %s: device is closed", what)
	}
	return nil
}

// check is failure, and notices what concerns the whole device.
func (d *Device) check(what string, result vulkan.Result) error {
	switch result {
	case vulkan.ErrorDeviceLost:
		d.lose()
	case vulkan.ErrorOutOfDeviceMemory, vulkan.ErrorOutOfHostMemory:
		return &OutOfMemoryError{What: what, Heaps: d.heaps()}
	}
	return failure(what, result)
}

// lose makes every later call fail, and every wait end.
func (d *Device) lose() { d.lost.Store(true) }

// heaps is the state of the heaps now.
func (d *Device) heaps() []Heap {
	heaps := d.physical.heaps(d.instance)
	if !d.physical.info.MemoryBudget {
		for i := range heaps {
			heaps[i].Used = d.memory.used(i)
		}
	}
	return heaps
}

// free is what is left of the heap that m is taken from.
func (d *Device) free(m Memory, heaps []Heap) int64 {
	t, ok := chooseType(d.physical.types, ^uint32(0), m)
	if !ok {
		return 0
	}
	h := heaps[d.physical.types[t].heap]
	free := h.Budget - h.Used
	if now, _ := d.memory.taken(); m == DeviceLocal && d.memory.limit > 0 {
		free = min(free, d.memory.limit-now)
	}
	return max(free, 0)
}
