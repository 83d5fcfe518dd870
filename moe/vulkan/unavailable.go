//go:build !cgo || !linux

package vulkan

import (
	"ufm/moe"
	"ufm/vk"
)

// Open says that this build has no Vulkan.
func Open(Options) (moe.Backend, error) { return nil, vk.ErrNoCgo }
