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
	local   bool   // device memory, which counts against the limit
	size    int64  // as asked for
	taken   int64  // as the driver rounds it up
	address uint64 // of byte 0
	bytes   []byte // nil for DeviceLocal; of an imported buffer the caller's
	foreign bool   // imported: the driver did not allocate the memory
}

// NewBuffer takes size bytes, which are not cleared, as an allocation of their own. what
// names them in errors. Memory that is not there is an OutOfMemoryError.
func (d *Device) NewBuffer(m Memory, size int64, what string) (*Buffer, error) {
	if err := d.usable("buffer " + what); err != nil {
		return nil, err
	}
	if size < 1 {
		return nil, fmt.Errorf("vk: buffer %s: %d bytes", what, size)
	}
	return (&Buffer{device: d, kind: m, size: size}).create(what)
}

// ImportBuffer makes a buffer of memory that the host has already, for the copy engine to
// read directly. It must be a mapping, not the garbage collector's, begin and end on
// pages, and stay mapped until Close. A driver may refuse any kind of mapping. NVIDIA's, which
// takes no mapped files, then gives this process no memory as long as one is mapped, and may
// give none for some time after.
func (d *Device) ImportBuffer(memory []byte, what string) (*Buffer, error) {
	if err := d.usable("buffer " + what); err != nil {
		return nil, err
	}
	if d.physical.description.extensions&C.UFM_EXT_HOST_MEMORY == 0 {
		return nil, &MissingFeatureError{Device: d.physical.info.Name,
			Feature: "VK_EXT_external_memory_host"}
	}
	align := uint64(d.physical.description.import_alignment)
	start := uint64(uintptr(unsafe.Pointer(unsafe.SliceData(memory))))
	if len(memory) == 0 || start%align != 0 || uint64(len(memory))%align != 0 {
		return nil, fmt.Errorf("vk: import %s: %d bytes at %#x: both must be multiples of %d",
			what, len(memory), start, align)
	}
	b := &Buffer{device: d, kind: HostCached, size: int64(len(memory)), bytes: memory, foreign: true}
	return b.create(what)
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
	d.memory.give(b.local, b.heap, b.taken)
	b.bytes = nil
	return nil
}

// create makes the buffer and puts memory behind it. What is larger than the device takes
// in one piece is memory that is not there, too.
func (b *Buffer) create(what string) (*Buffer, error) {
	d := b.device
	if b.size > d.physical.info.MaxAllocation {
		b.taken = b.size
		return nil, b.outOfMemory(what, d.physical.info.MaxAllocation)
	}
	var need C.uint64_t
	var allowed, imported C.uint32_t
	if b.foreign {
		imported = 1
	}
	r := vulkan.Result(C.ufm_buffer_new(d.shim, C.uint64_t(b.size), imported, &d.families[0],
		C.uint32_t(len(d.families)), into(&b.handle), &need, &allowed))
	if err := d.check("buffer "+what, r); err != nil {
		return nil, err
	}
	b.taken = int64(need)
	if err := b.allocate(what, uint32(allowed)); err != nil {
		vulkan.DestroyBuffer(d.handle, b.handle, nil)
		return nil, err
	}
	d.objects.add(b, fmt.Sprintf("buffer %q", what))
	return b, nil
}

// allocate books the memory, takes it, and binds it to the buffer.
func (b *Buffer) allocate(what string, allowed uint32) error {
	d := b.device
	if b.foreign {
		var types C.uint32_t
		r := vulkan.Result(C.ufm_import_types(d.shim, b.start(), &types))
		if err := failure("import "+what, r); err != nil {
			return err
		}
		allowed &= uint32(types)
	}
	t, ok := chooseType(d.physical.types, allowed, b.kind)
	if !ok {
		return &MissingFeatureError{Device: d.physical.info.Name,
			Feature: b.kind.String() + " memory for " + what}
	}
	b.heap, b.local = d.physical.types[t].heap, onDevice(b.kind, d.physical.types[t])
	if !d.memory.take(b.local, b.heap, b.taken) {
		return b.outOfMemory(what, 0)
	}
	if r := b.take(t); r != vulkan.Success {
		d.memory.give(b.local, b.heap, b.taken)
		if b.foreign && r != vulkan.ErrorDeviceLost {
			return failure("import "+what, r) // a refusal, whatever its name
		}
		err := d.check("buffer "+what, r)
		if oom := (*OutOfMemoryError)(nil); errors.As(err, &oom) {
			return b.outOfMemory(what, 0)
		}
		return err
	}
	d.memory.granted()
	if err := b.bind(what); err != nil {
		vulkan.FreeMemory(d.handle, b.memory, nil)
		d.memory.give(b.local, b.heap, b.taken)
		return err
	}
	return nil
}

// take asks the driver for memory of type t, or to import what is there.
func (b *Buffer) take(t int) vulkan.Result {
	shim, size, kind := b.device.shim, C.uint64_t(b.taken), C.uint32_t(t)
	if b.foreign {
		return vulkan.Result(C.ufm_memory_import(shim, b.start(), size, kind, into(&b.memory)))
	}
	return vulkan.Result(C.ufm_memory_new(shim, size, kind, into(&b.memory)))
}

// start is where an imported buffer's memory begins.
func (b *Buffer) start() unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(b.bytes)) }

// bind joins buffer and memory, and finds out where it lies for device and host.
func (b *Buffer) bind(what string) error {
	d := b.device
	r := vulkan.BindBufferMemory(d.handle, b.handle, b.memory, 0)
	if err := d.check("bind buffer "+what, r); err != nil {
		return err
	}
	if b.kind != DeviceLocal && !b.foreign {
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

// outOfMemory is the error for b as things stand now; most is the largest buffer of the
// device if that is what b breaks, else 0.
func (b *Buffer) outOfMemory(what string, most int64) error {
	kind := b.kind
	if b.local {
		kind = DeviceLocal // mapped tables share its limit
	}
	heaps := b.device.heaps()
	e := &OutOfMemoryError{What: what, Requested: b.taken, Heaps: heaps, MaxAllocation: most,
		Free: b.device.free(kind, heaps)}
	if b.local || b.kind == DeviceLocal {
		e.Limit = b.device.memory.limit
	}
	return e
}
