//go:build cgo && linux

package vk

// #include "shim.h"
import "C"

import (
	"fmt"
	"unsafe"

	"github.com/vulkan-go/vulkan"
)

// Timestamps are times of the device, written by Commands.Timestamp. Each may be written
// once between two Resets.
type Timestamps struct {
	device *Device
	pool   vulkan.QueryPool
	n      int
}

// NewTimestamps makes room for n times.
func (d *Device) NewTimestamps(n int) (*Timestamps, error) {
	if err := d.usable("timestamps"); err != nil {
		return nil, err
	}
	if n < 1 {
		return nil, fmt.Errorf("vk: timestamps: %d of them", n)
	}
	info := vulkan.QueryPoolCreateInfo{
		SType:      vulkan.StructureTypeQueryPoolCreateInfo,
		QueryType:  vulkan.QueryTypeTimestamp,
		QueryCount: uint32(n),
	}
	defer info.Free()
	var pool vulkan.QueryPool
	r := vulkan.CreateQueryPool(d.handle, &info, nil, &pool)
	if err := d.check("timestamps", r); err != nil {
		return nil, err
	}
	t := &Timestamps{device: d, pool: pool, n: n}
	d.objects.add(t, "timestamps")
	t.Reset(0, n)
	return t, nil
}

// Reset makes the times first to first + n − 1 unwritten. The device must not be using them.
func (t *Timestamps) Reset(first, n int) {
	if t.device.usable("timestamps") == nil && first >= 0 && first+n <= t.n {
		C.ufm_queries_reset(t.device.shim, bitsOf(t.pool), C.uint32_t(first), C.uint32_t(n))
	}
}

// Read fills dst with the times first, first+1, … in nanoseconds of the device's clock.
// They must have been written: wait for a timeline before.
func (t *Timestamps) Read(first int, dst []uint64) error {
	if err := t.device.usable("timestamps"); err != nil {
		return err
	}
	if first < 0 || first+len(dst) > t.n {
		return fmt.Errorf("vk: timestamps: %d to %d of %d", first, first+len(dst), t.n)
	}
	if len(dst) == 0 {
		return nil
	}
	const wordBytes, resultsOf64Bits = 8, 1
	r := vulkan.GetQueryPoolResults(t.device.handle, t.pool, uint32(first), uint32(len(dst)),
		uint(wordBytes*len(dst)), unsafe.Pointer(&dst[0]), wordBytes, resultsOf64Bits)
	if r == vulkan.NotReady {
		return fmt.Errorf("vk: timestamps: %d to %d are not all written", first, first+len(dst))
	}
	if err := t.device.check("timestamps", r); err != nil {
		return err
	}
	scaleTicks(dst, t.device.physical.info.TimestampPeriodNs)
	return nil
}

// Close frees them.
func (t *Timestamps) Close() error {
	if t.device.objects.remove(t) {
		vulkan.DestroyQueryPool(t.device.handle, t.pool, nil)
	}
	return nil
}
