//go:build cgo && linux

package vk

// #include "shim.h"
import "C"

import (
	"unsafe"

	"github.com/vulkan-go/vulkan"
)

// Open opens a device. The error is ErrNoLoader, ErrNoDevice, a MissingFeatureError, or
// whatever else the driver says.
func Open(o Options) (*Device, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	if o.WaitLimit == 0 {
		o.WaitLimit = defaultWaitLimit
	}
	in, err := newInstance(o.Validation)
	if err != nil {
		return nil, err
	}
	d, err := in.open(o)
	if err != nil {
		in.close()
		return nil, err
	}
	return d, nil
}

// open chooses the device and its queues.
func (in *instance) open(o Options) (*Device, error) {
	all, err := in.physicals()
	if err != nil {
		return nil, err
	}
	candidates := make([]candidate, len(all))
	for i, p := range all {
		candidates[i] = p.candidate
	}
	i, err := chooseDevice(candidates, o.Device)
	if err != nil {
		return nil, err
	}
	p := all[i]
	plan, ok := chooseQueues(p.info.Queues, o.SingleQueue)
	if !ok {
		return nil, &MissingFeatureError{Device: p.info.Name, Feature: "a compute queue"}
	}
	return in.create(p, plan, o)
}

// create makes the device with the queues of the plan.
func (in *instance) create(p *physical, plan queuePlan, o Options) (*Device, error) {
	d := &Device{instance: in, physical: p, waitLimit: o.WaitLimit}
	d.memory.limit = o.MemoryLimit
	d.families = []C.uint32_t{C.uint32_t(plan.compute)}
	counts := []C.uint32_t{1}
	if plan.transfer >= 0 {
		d.families = append(d.families, C.uint32_t(plan.transfer))
		counts = append(counts, C.uint32_t(plan.transfers))
	}
	r := vulkan.Result(C.ufm_device_new(in.shim, unsafe.Pointer(p.handle), C.uint32_t(p.api),
		&p.description, &d.families[0], &counts[0], C.uint32_t(len(counts)), &d.shim))
	if err := failure("open device "+p.info.Name, r); err != nil {
		return nil, err
	}
	d.handle = vulkan.Device(C.ufm_device_handle(d.shim))
	d.compute = d.newQueue(plan.compute, 0)
	for i := range plan.transfers {
		d.transfers = append(d.transfers, d.newQueue(plan.transfer, i))
	}
	if plan.transfers == 0 {
		d.transfers = []*Queue{d.compute}
	}
	d.cache.open(d, cachePath(o.CacheDir, p.id))
	return d, nil
}

// newQueue wraps a queue that the device was made with.
func (d *Device) newQueue(family, index int) *Queue {
	var handle vulkan.Queue
	vulkan.GetDeviceQueue(d.handle, uint32(family), uint32(index), &handle)
	f := d.physical.info.Queues[family]
	return &Queue{
		device:     d,
		handle:     handle,
		family:     family,
		compute:    f.Compute,
		timestamps: f.TimestampBits > 0,
	}
}
