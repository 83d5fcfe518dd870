//go:build cgo && linux

package vk

import "unsafe"

// Words is the host's view of a buffer as 32-bit words, or nil where it has none.
func (b *Buffer) Words() []uint32 { return view[uint32](b.Bytes()) }

// Floats is the host's view of a buffer as float32, or nil where it has none.
func (b *Buffer) Floats() []float32 { return view[float32](b.Bytes()) }

// view looks at mapped memory, whose start is aligned to far more than four bytes.
func view[T uint32 | float32](b []byte) []T {
	if len(b) < 4 {
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/4)
}
