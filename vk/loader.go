//go:build cgo && linux

package vk

// #cgo CFLAGS: -std=gnu11 -Wall -Wextra
// #cgo LDFLAGS: -ldl
// #include "shim.h"
import "C"

import (
	"fmt"
	"sync"
	"unsafe"

	"github.com/vulkan-go/vulkan"
)

// loaderName is the loader as packages install it; only -dev packages have the name
// without a version.
const loaderName = "libvulkan.so.1"

// theLoader is the process's Vulkan loader. It is global because the binding keeps the
// loader's functions in global variables.
var theLoader loader

type loader struct {
	mu    sync.Mutex
	get   unsafe.Pointer // vkGetInstanceProcAddr, once loaded
	bound bool           // the binding has its instance functions
}

// load opens the library, once, and hands it to the binding.
func (l *loader) load(library string) (unsafe.Pointer, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.get != nil {
		return l.get, nil
	}
	name := append([]byte(library), 0)
	why := make([]byte, 256)
	get := C.ufm_load((*C.char)(unsafe.Pointer(&name[0])),
		(*C.char)(unsafe.Pointer(&why[0])), C.size_t(len(why)))
	if get == nil {
		return nil, fmt.Errorf("vk: %w: %s (Debian: libvulkan1)", ErrNoLoader, vulkan.ToString(why))
	}
	vulkan.SetGetInstanceProcAddr(get)
	if err := vulkan.Init(); err != nil {
		return nil, fmt.Errorf("vk: %w: %v", ErrNoLoader, err)
	}
	l.get = get
	return get, nil
}

// bind gives the binding its functions. Those that the loader hands out serve every
// instance and device of the process, so the first instance does it for all.
func (l *loader) bind(instance vulkan.Instance) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.bound {
		return nil
	}
	if err := vulkan.InitInstance(instance); err != nil {
		return fmt.Errorf("vk: load functions: %w", err)
	}
	l.bound = true
	return nil
}
