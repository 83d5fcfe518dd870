//go:build cgo && linux

package vk

// #include "shim.h"
import "C"

import (
	"fmt"
	"unsafe"

	"github.com/vulkan-go/vulkan"
)

// handle is any Vulkan handle that need not be a pointer. The binding gives it a pointer
// type, so its bits must never stand in an unsafe.Pointer, where the garbage collector
// would look at them.
type handle interface {
	vulkan.Buffer | vulkan.DeviceMemory | vulkan.Semaphore | vulkan.QueryPool |
		vulkan.Pipeline | vulkan.PipelineLayout | vulkan.PipelineCache
}

// bitsOf is the form in which the shim takes a handle.
func bitsOf[H handle](h H) C.uint64_t { return *(*C.uint64_t)(unsafe.Pointer(&h)) }

// into lets the shim write a handle. The binding writes only to variables of their own: it
// passes their type on, and cgo forbids a pointer into a struct that holds Go pointers.
func into[H handle](h *H) *C.uint64_t { return (*C.uint64_t)(unsafe.Pointer(h)) }

// failure is the error for a result of Vulkan, or nil for a success of any kind.
func failure(what string, result vulkan.Result) error {
	switch {
	case result >= 0:
		return nil
	case result == vulkan.ErrorDeviceLost:
		return fmt.Errorf("vk: %s: %w", what, ErrDeviceLost)
	}
	return fmt.Errorf("vk: %s: %w", what, vulkan.Error(result))
}
