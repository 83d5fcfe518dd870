//go:build cgo && linux

package vk

// #include "shim.h"
import "C"

import (
	"unsafe"

	"github.com/vulkan-go/vulkan"
)

// ValidationMessages returns how many warnings and errors the validation layer has given
// since the process began, for all devices opened with Options.Validation, and the text of
// the first of them.
func ValidationMessages() (count int, text string) {
	buffer := make([]byte, 8192)
	C.ufm_validation_text((*C.char)(unsafe.Pointer(&buffer[0])), C.size_t(len(buffer)))
	return int(C.ufm_validation_count()), vulkan.ToString(buffer)
}
