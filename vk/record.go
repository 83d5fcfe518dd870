//go:build cgo && linux

package vk

// #include "shim.h"
import "C"

import (
	"fmt"
	"unsafe"

	"github.com/vulkan-go/vulkan"
)

// PushConstants is the memory of v, a struct of fixed-size fields as a kernel declares them
// in scalar layout, as Dispatch takes it. It is valid as long as v, and changes with it.
func PushConstants[T any](v *T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v))
}

// Dispatch runs x × y × z workgroups. push is copied.
func (c *Commands) Dispatch(p *Pipeline, push []byte, x, y, z int) {
	most := &c.device.physical.info.MaxWorkgroups
	if x < 0 || x > most[0] || y < 0 || y > most[1] || z < 0 || z > most[2] {
		c.fail("dispatch of %d × %d × %d workgroups: the device takes %d × %d × %d",
			x, y, z, most[0], most[1], most[2])
	}
	if c.bind(p, push) {
		vulkan.CmdDispatch(c.buffer, uint32(x), uint32(y), uint32(z))
	}
}

// DispatchIndirect runs as many workgroups as three uint32 at offset in b say when the
// device comes to it. push is copied.
func (c *Commands) DispatchIndirect(p *Pipeline, push []byte, b *Buffer, offset int64) {
	if c.inside("indirect dispatch", b, offset, 12) && c.aligned("indirect dispatch", offset) &&
		c.bind(p, push) {
		vulkan.CmdDispatchIndirect(c.buffer, b.handle, vulkan.DeviceSize(offset))
	}
}

// Copy copies n bytes. Ranges of one buffer must not overlap.
func (c *Commands) Copy(dst *Buffer, dstOffset int64, src *Buffer, srcOffset, n int64) {
	if c.inside("copy to", dst, dstOffset, n) && c.inside("copy from", src, srcOffset, n) && n > 0 {
		C.ufm_copy(c.device.shim, unsafe.Pointer(c.buffer), bitsOf(src.handle),
			C.uint64_t(srcOffset), bitsOf(dst.handle), C.uint64_t(dstOffset), C.uint64_t(n))
	}
}

// Fill writes word over n bytes; offset and n are multiples of 4.
func (c *Commands) Fill(b *Buffer, offset, n int64, word uint32) {
	if c.inside("fill", b, offset, n) && c.aligned("fill", offset|n) && n > 0 {
		vulkan.CmdFillBuffer(c.buffer, b.handle, vulkan.DeviceSize(offset),
			vulkan.DeviceSize(n), word)
	}
}

// Barrier makes all earlier commands of the queue end before later ones begin, and what
// they wrote visible to later dispatches, copies and indirect dispatches, and to the host
// once it has waited.
func (c *Commands) Barrier() {
	if !c.ok() {
		return
	}
	var compute C.uint32_t
	if c.queue.compute {
		compute = 1
	}
	C.ufm_barrier(c.device.shim, unsafe.Pointer(c.buffer), compute)
}

// DispatchBarrier makes all earlier dispatches end before later ones begin, and what they
// wrote visible to those. It says nothing of copies, indirect dispatches and the host, and so
// costs a GPU less than a Barrier.
func (c *Commands) DispatchBarrier() {
	if !c.ok() {
		return
	}
	if !c.queue.compute {
		c.fail("dispatch barrier: queue family %d has no compute", c.queue.family)
		return
	}
	C.ufm_dispatch_barrier(c.device.shim, unsafe.Pointer(c.buffer))
}

// Timestamp writes time i of t when all earlier commands of the queue have ended.
func (c *Commands) Timestamp(t *Timestamps, i int) {
	switch {
	case i < 0 || i >= t.n:
		c.fail("timestamp %d of %d", i, t.n)
	case !c.queue.timestamps:
		c.fail("timestamp: queue family %d has none", c.queue.family)
	case c.ok():
		C.ufm_timestamp(c.device.shim, unsafe.Pointer(c.buffer), bitsOf(t.pool), C.uint32_t(i))
	}
}

// bind makes p and its push constants current, and reports whether a dispatch may follow.
func (c *Commands) bind(p *Pipeline, push []byte) bool {
	if len(push) != p.pushBytes {
		c.fail("dispatch: %d bytes of push constants for a pipeline of %d", len(push), p.pushBytes)
	}
	if !c.queue.compute {
		c.fail("dispatch: queue family %d has no compute", c.queue.family)
	}
	if !c.ok() {
		return false
	}
	if c.bound != p.handle {
		vulkan.CmdBindPipeline(c.buffer, vulkan.PipelineBindPointCompute, p.handle)
		c.bound = p.handle
	}
	if n := copy(c.push, push); n > 0 {
		vulkan.CmdPushConstants(c.buffer, p.layout,
			vulkan.ShaderStageFlags(vulkan.ShaderStageComputeBit), 0, uint32(n),
			unsafe.Pointer(&c.push[0]))
	}
	return true
}

// inside reports whether n bytes at offset lie in b and recording may go on.
func (c *Commands) inside(what string, b *Buffer, offset, n int64) bool {
	if offset < 0 || n < 0 || offset > b.size-n {
		c.fail("%s: %d bytes at %d of a buffer of %d", what, n, offset, b.size)
	}
	return c.ok()
}

func (c *Commands) aligned(what string, bytes int64) bool {
	if bytes%4 != 0 {
		c.fail("%s: offset or size is not a multiple of 4", what)
	}
	return c.ok()
}

// ok reports whether a command may be recorded.
func (c *Commands) ok() bool {
	if c.state != recording {
		c.fail("no recording has begun")
	}
	return c.err == nil
}

func (c *Commands) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf("vk: record: "+format, args...)
	}
}
