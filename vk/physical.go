//go:build cgo && linux

package vk

// #include "shim.h"
import "C"

import (
	"fmt"
	"strings"
	"unsafe"

	"github.com/vulkan-go/vulkan"
)

// physical is a device that is not open.
type physical struct {
	handle      vulkan.PhysicalDevice
	api         uint32
	description C.ufm_description
	types       []memoryType
	id          string // vendor, device and driver: compiled pipelines fit no other
	candidate
}

// describe asks everything about one device. One that does not answer must not hide the
// others, so its failure is kept as something missing.
func (in *instance) describe(index int, handle vulkan.PhysicalDevice) *physical {
	var props vulkan.PhysicalDeviceProperties
	vulkan.GetPhysicalDeviceProperties(handle, &props)
	defer props.Free()
	props.Deref()
	props.Limits.Deref()

	p := &physical{handle: handle, api: props.ApiVersion}
	p.id = fmt.Sprintf("%08x-%08x-%x", props.VendorID, props.DeviceID, props.PipelineCacheUUID)
	r := vulkan.Result(C.ufm_describe(in.shim, unsafe.Pointer(handle),
		C.uint32_t(p.api), &p.description))
	p.info = coreInfo(index, &props)
	p.missing = missingFeature(p.api, uint32(p.description.features))
	if r != vulkan.Success {
		p.missing = fmt.Sprintf("a working driver (%v)", vulkan.Error(r))
	}
	p.fillInfo(in)
	for i := range p.description.type_count {
		p.types = append(p.types, memoryType{
			flags: uint32(p.description.type_flags[i]),
			heap:  int(p.description.type_heap[i]),
		})
	}
	return p
}

// coreInfo is what the binding can tell.
func coreInfo(index int, props *vulkan.PhysicalDeviceProperties) DeviceInfo {
	limits := &props.Limits
	return DeviceInfo{
		Index:                   index,
		Name:                    vulkan.ToString(props.DeviceName[:]),
		API:                     vulkan.Version(props.ApiVersion).String(),
		Kind:                    kindOf(props.DeviceType),
		MaxSharedMemory:         int(limits.MaxComputeSharedMemorySize),
		MaxPushConstants:        int(limits.MaxPushConstantsSize),
		MaxWorkgroupInvocations: int(limits.MaxComputeWorkGroupInvocations),
		MaxWorkgroups: [3]int{int(limits.MaxComputeWorkGroupCount[0]),
			int(limits.MaxComputeWorkGroupCount[1]), int(limits.MaxComputeWorkGroupCount[2])},
		TimestampPeriodNs: float64(limits.TimestampPeriod),
	}
}

func kindOf(t vulkan.PhysicalDeviceType) string {
	switch t {
	case vulkan.PhysicalDeviceTypeIntegratedGpu:
		return kindIntegrated
	case vulkan.PhysicalDeviceTypeDiscreteGpu:
		return kindDiscrete
	case vulkan.PhysicalDeviceTypeVirtualGpu:
		return kindVirtual
	case vulkan.PhysicalDeviceTypeCpu:
		return kindCPU
	}
	return kindOther
}

// fillInfo adds what the shim found.
func (p *physical) fillInfo(in *instance) {
	d, info := &p.description, &p.info
	info.Driver = strings.TrimSpace(text(d.driver_name[:]) + " " + text(d.driver_info[:]))
	info.SubgroupSize = int(d.subgroup)
	info.MaxAllocation = int64(min(uint64(d.max_allocation), 1<<62))
	info.MemoryBudget = d.extensions&C.UFM_EXT_MEMORY_BUDGET != 0
	for _, m := range d.matrices[:d.matrix_count] {
		info.Matrices = append(info.Matrices, MatrixShape{
			M: int(m.size[0]), N: int(m.size[1]), K: int(m.size[2]),
			A: componentName(int(m._type[0])), B: componentName(int(m._type[1])),
			C: componentName(int(m._type[2])), Result: componentName(int(m._type[3])),
		})
	}
	info.BFloat16Matrices = d.features&C.UFM_BFLOAT16_MATRIX != 0 &&
		d.features&C.UFM_MEMORY_MODEL != 0
	info.Heaps = p.heaps(in)
	info.Unified = info.Kind == kindIntegrated || info.Kind == kindCPU
	for i := range d.family_count {
		info.Queues = append(info.Queues, queueFamily(int(i), uint32(d.family_flags[i]),
			int(d.family_queues[i]), int(d.family_timestamp_bits[i])))
	}
}

// queueFamily reads the flags of a family.
func queueFamily(index int, flags uint32, count, timestampBits int) QueueFamily {
	const graphics, compute, transfer, media = 0x1, 0x2, 0x4, 0x20 | 0x40 | 0x100
	return QueueFamily{
		Index: index, Count: count,
		Graphics:      flags&graphics != 0,
		Compute:       flags&compute != 0,
		Transfer:      flags&(graphics|compute|transfer) != 0, // the first two imply it
		TimestampBits: timestampBits,
		media:         flags&media != 0,
	}
}

// heaps asks for the state of the heaps now. Without VK_EXT_memory_budget, Used stays 0.
func (p *physical) heaps(in *instance) []Heap {
	d := &p.description
	var budget, used [C.UFM_MAX_HEAPS]C.uint64_t
	if d.extensions&C.UFM_EXT_MEMORY_BUDGET != 0 {
		C.ufm_memory_budget(in.shim, unsafe.Pointer(p.handle), &budget[0], &used[0])
	} else {
		budget = d.heap_size
	}
	heaps := make([]Heap, d.heap_count)
	for i := range heaps {
		heaps[i] = Heap{
			Size:        int64(d.heap_size[i]),
			Budget:      int64(budget[i]),
			Used:        int64(used[i]),
			DeviceLocal: d.heap_flags[i]&1 != 0,
		}
	}
	return heaps
}

// missingFeature names the first thing required that a device lacks.
func missingFeature(api, features uint32) string {
	if v := vulkan.Version(api); v.Major() < 1 || v.Major() == 1 && v.Minor() < 2 {
		return fmt.Sprintf("Vulkan 1.2 (it has %s)", v)
	}
	for _, f := range []struct {
		bit  uint32
		name string
	}{
		{C.UFM_DEVICE_ADDRESS, "bufferDeviceAddress"},
		{C.UFM_TIMELINE, "timelineSemaphore"},
		{C.UFM_SYNCHRONIZATION2, "synchronization2"},
		{C.UFM_HOST_QUERY_RESET, "hostQueryReset"},
		{C.UFM_SCALAR_LAYOUT, "scalarBlockLayout"},
		{C.UFM_INT64, "shaderInt64"},
		{C.UFM_STORAGE16, "storageBuffer16BitAccess"},
		{C.UFM_SUBGROUP_ARITHMETIC, "subgroup arithmetic in compute shaders"},
	} {
		if features&f.bit == 0 {
			return f.name
		}
	}
	return ""
}

// text is a C string in an array.
func text(s []C.char) string {
	return vulkan.ToString(unsafe.Slice((*byte)(unsafe.Pointer(&s[0])), len(s)))
}
