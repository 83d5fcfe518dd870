package vk

import (
	"errors"
	"fmt"
	"time"
)

// QueueFamily is a set of equal queues of a device.
type QueueFamily struct {
	Index, Count  int
	Graphics      bool
	Compute       bool
	Transfer      bool
	TimestampBits int  // 0: the family has no timestamps
	media         bool // video or optical flow: copies there share a special unit
}

// DeviceInfo describes a device as the driver reports it.
type DeviceInfo struct {
	Index                   int
	Name                    string
	Driver                  string // name and version
	API                     string // Vulkan version, as "1.3.230"
	Kind                    string // "discrete GPU", "integrated GPU", "virtual GPU", "CPU", "other"
	Heaps                   []Heap
	Queues                  []QueueFamily
	SubgroupSize            int
	MaxSharedMemory         int           // bytes of a workgroup
	MaxPushConstants        int           // bytes
	MaxWorkgroupInvocations int           // of one workgroup
	MaxWorkgroups           [3]int        // of one dispatch, by dimension
	MaxAllocation           int64         // bytes of one buffer
	MemoryBudget            bool          // Heap.Budget and Heap.Used come from the driver
	Matrices                []MatrixShape // products of cooperative matrices by a subgroup
	BFloat16Matrices        bool          // shaders may use those of bfloat16
	Unified                 bool          // device and host share one memory
	TimestampPeriodNs       float64
}

// MatrixShape is a product that a subgroup can do with cooperative matrices:
// Result (M, N) = A (M, K) · B (K, N) + C. Types are "f16", "f32", "bf16", "s8" and so on.
type MatrixShape struct {
	M, N, K         int
	A, B, C, Result string
}

// componentName names a component type of VK_KHR_cooperative_matrix.
func componentName(t int) string {
	const bfloat16 = 1000141000
	names := [...]string{"f16", "f32", "f64", "s8", "s16", "s32", "s64", "u8", "u16", "u32", "u64"}
	switch {
	case t == bfloat16:
		return "bf16"
	case t >= 0 && t < len(names):
		return names[t]
	}
	return fmt.Sprint("type ", t)
}

// The kinds of DeviceInfo.Kind.
const (
	kindOther      = "other"
	kindIntegrated = "integrated GPU"
	kindDiscrete   = "discrete GPU"
	kindVirtual    = "virtual GPU"
	kindCPU        = "CPU"
)

// Options say which device to open, and how. The zero value opens the best device
// that there is.
type Options struct {
	// Device is "" for the best, an index as Devices gives it, or a part of the name
	// in any case.
	Device string
	// MemoryLimit is the most bytes of device memory that may be taken, DeviceLocal and
	// DeviceMapped; 0 is no limit. A buffer above it fails with an OutOfMemoryError.
	MemoryLimit int64
	// SingleQueue uses one queue for everything, as devices with one queue do.
	SingleQueue bool
	// Validation is "", "core", "sync" or "gpu": what the Khronos layer checks besides.
	// Read its findings with ValidationMessages.
	Validation string
	// WaitLimit is the longest that any wait lasts; 0 is a minute.
	WaitLimit time.Duration
	// CacheDir keeps compiled pipelines between runs. "" is the user's cache directory,
	// "off" keeps none.
	CacheDir string
}

// defaultWaitLimit is far above any sane submission and below people's patience.
const defaultWaitLimit = time.Minute

// validate lists everything that is wrong with o.
func (o Options) validate() error {
	var errs []error
	if o.MemoryLimit < 0 {
		errs = append(errs, fmt.Errorf("vk: memory limit %d is negative", o.MemoryLimit))
	}
	if o.WaitLimit < 0 {
		errs = append(errs, fmt.Errorf("vk: wait limit %v is negative", o.WaitLimit))
	}
	switch o.Validation {
	case "", "core", "sync", "gpu":
	default:
		errs = append(errs, fmt.Errorf("vk: unknown validation %q (core, sync, gpu)", o.Validation))
	}
	return errors.Join(errs...)
}
