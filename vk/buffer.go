//go:build cgo && linux

package vk

// #include "shim.h"
import "C"

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/vulkan-go/vulkan"
)

// Buffer is memory with an address on the device. All queues may use it.
type Buffer struct {
	device  *Device
	handle  vulkan.Buffer
	memory  vulkan.DeviceMemory
	kind    Memory
	heap    int
	size    int64  // as asked for
	taken   int64  // as the driver rounds it up
	address uint64 // of byte 0
	bytes   []byte // nil for DeviceLocal
}

// NewBuffer takes size bytes, which are not cleared, as an allocation of their own. what
// names them in errors. Memory that is not there is an OutOfMemoryError.
func (d *Device) NewBuffer(m Memory, size int64, what string) (*Buffer, error) {
	if err := d.usable("buffer " + what); err != nil {
		return nil, err
	}
	if limit := d.physical.info.MaxAllocation; size < 1 || size > limit {
		return nil, fmt.Errorf("vk: buffer %s: %d bytes are not between 1 and the device's %d",
			what, size, limit)
	}
	b := &Buffer{device: d, kind: m, size: size}
	if err := b.create(what); err != nil {
		return nil, err
	}
	d.objects.add(b, fmt.Sprintf("buffer %q", what))
	return b, nil
}

// Address is where shaders find byte 0.
func (b *Buffer) Address() uint64 { return b.address }

// Size is the length in bytes.
func (b *Buffer) Size() int64 { return b.size }

// Bytes is the buffer as the host sees it until Close, or nil if it is DeviceLocal. The
// host sees what the device wrote before a Barrier once it has waited for a later point of
// a timeline; the device sees what the host wrote before the submission.
func (b *Buffer) Bytes() []byte { return b.bytes }

// Close frees the memory.
func (b *Buffer) Close() error {
	if !b.device.objects.remove(b) {
		return nil
	}
	d := b.device
	vulkan.DestroyBuffer(d.handle, b.handle, nil)
	vulkan.FreeMemory(d.handle, b.memory, nil)
	d.memory.give(b.kind, b.heap, b.taken)
	b.bytes = nil
	return nil
}

// create makes the buffer and puts memory behind it.
func (b *Buffer) create(what string) error {
	d := b.device
	var need C.uint64_t
	var allowed C.uint32_t
	r := vulkan.Result(C.ufm_buffer_new(d.shim, C.uint64_t(b.size), &d.families[0],
		C.uint32_t(len(d.families)), into(&b.handle), &need, &allowed))
	if err := d.check("buffer "+what, r); err != nil {
		return err
	}
	b.taken = int64(need)
	err := b.allocate(what, uint32(allowed))
	if err != nil {
		vulkan.DestroyBuffer(d.handle, b.handle, nil)
	}
	return err
}

// allocate books the memory, takes it, and binds it to the buffer.
func (b *Buffer) allocate(what string, allowed uint32) error {
	d := b.device
	t, ok := chooseType(d.physical.types, allowed, b.kind)
	if !ok {
		return &MissingFeatureError{Device: d.physical.info.Name,
			Feature: b.kind.String() + " memory"}
	}
	b.heap = d.physical.types[t].heap
	if !d.memory.take(b.kind, b.heap, b.taken) {
		return b.outOfMemory(what)
	}
	r := vulkan.Result(C.ufm_memory_new(d.shim, C.uint64_t(b.taken), C.uint32_t(t),
		into(&b.memory)))
	if r != vulkan.Success {
		d.memory.give(b.kind, b.heap, b.taken)
		err := d.check("buffer "+what, r)
		if oom := (*OutOfMemoryError)(nil); errors.As(err, &oom) {
			return b.outOfMemory(what)
		}
		return err
	}
	d.memory.granted()
	if err := b.bind(what); err != nil {
		vulkan.FreeMemory(d.handle, b.memory, nil)
		d.memory.give(b.kind, b.heap, b.taken)
		return err
	}
	return nil
}

// bind joins buffer and memory, and finds out where it lies for device and host.
func (b *Buffer) bind(what string) error {
	d := b.device
	r := vulkan.BindBufferMemory(d.handle, b.handle, b.memory, 0)
	if err := d.check("bind buffer "+what, r); err != nil {
		return err
	}
	if b.kind != DeviceLocal {
		var start unsafe.Pointer
		r = vulkan.MapMemory(d.handle, b.memory, 0, vulkan.DeviceSize(b.size), 0, &start)
		if err := d.check("map buffer "+what, r); err != nil {
			return err
		}
		b.bytes = unsafe.Slice((*byte)(start), b.size)
	}
	b.address = uint64(C.ufm_buffer_address(d.shim, bitsOf(b.handle)))
	return nil
}

// outOfMemory is the error for b as things stand now.
func (b *Buffer) outOfMemory(what string) error {
	heaps := b.device.heaps()
	e := &OutOfMemoryError{What: what, Requested: b.taken, Heaps: heaps,
		Free: b.device.free(b.kind, heaps)}
	if b.kind == DeviceLocal {
		e.Limit = b.device.memory.limit
	}
	return e
}
