//go:build cgo && linux

package vk

// #include "shim.h"
import "C"

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unsafe"

	"github.com/vulkan-go/vulkan"
)

// Pipeline is a compute shader, compiled for its specialization constants.
type Pipeline struct {
	device    *Device
	handle    vulkan.Pipeline
	layout    vulkan.PipelineLayout
	pushBytes int
}

// NewPipeline compiles SPIR-V, which may take seconds unless it is cached. Constants 0, 1, …
// take the values of spec; pushBytes is the size of the push constants.
func (d *Device) NewPipeline(code []byte, spec []uint32, pushBytes int) (*Pipeline, error) {
	if err := d.usable("pipeline"); err != nil {
		return nil, err
	}
	if limit := d.physical.info.MaxPushConstants; pushBytes < 0 || pushBytes%4 != 0 ||
		pushBytes > limit {
		return nil, fmt.Errorf("vk: pipeline: %d bytes of push constants are not a multiple "+
			"of 4 up to the device's %d", pushBytes, limit)
	}
	words, err := spirvWords(code)
	if err != nil {
		return nil, err
	}
	p := &Pipeline{device: d, pushBytes: pushBytes}
	r := vulkan.Result(C.ufm_pipeline_new(d.shim, bitsOf(d.cache.handle),
		uints(words), C.size_t(len(code)), uints(spec), C.uint32_t(len(spec)),
		C.uint32_t(pushBytes), d.subgroup(), into(&p.layout), into(&p.handle)))
	if err := d.check("pipeline", r); err != nil {
		return nil, err
	}
	d.objects.add(p, "pipeline")
	return p, nil
}

// Close frees the pipeline.
func (p *Pipeline) Close() error {
	if p.device.objects.remove(p) {
		vulkan.DestroyPipeline(p.device.handle, p.handle, nil)
		vulkan.DestroyPipelineLayout(p.device.handle, p.layout, nil)
	}
	return nil
}

// subgroup is the subgroup size to insist on: where the driver may choose among several,
// it must choose what DeviceInfo tells, since shaders are specialized for that.
func (d *Device) subgroup() C.uint32_t {
	p := &d.physical.description
	if p.features&C.UFM_SUBGROUP_SIZE == 0 || p.subgroup_min == p.subgroup_max {
		return 0
	}
	return p.subgroup
}

// spirvWords copies code to where its words are aligned.
func spirvWords(code []byte) ([]uint32, error) {
	const magic = 0x07230203
	if len(code) < 20 || len(code)%4 != 0 || binary.LittleEndian.Uint32(code) != magic {
		return nil, errors.New("vk: pipeline: the code is not a SPIR-V module")
	}
	words := make([]uint32, len(code)/4)
	for i := range words {
		words[i] = binary.LittleEndian.Uint32(code[4*i:])
	}
	return words, nil
}

// uints is the start of s for C.
func uints(s []uint32) *C.uint32_t {
	return (*C.uint32_t)(unsafe.Pointer(unsafe.SliceData(s)))
}

// pipelineCache keeps compiled pipelines, in memory and from run to run. Where the file
// fails it does without: a cache is never an error.
type pipelineCache struct {
	handle vulkan.PipelineCache // null: none
	path   string               // "": not on disk
	loaded int                  // bytes that came from disk
}

// open starts with what an earlier run left.
func (c *pipelineCache) open(d *Device, path string) {
	c.path = path
	var data []byte
	if path != "" {
		data = readCache(path)
	}
	c.loaded = len(data)
	r := C.ufm_cache_new(d.shim, unsafe.Pointer(unsafe.SliceData(data)),
		C.size_t(len(data)), into(&c.handle))
	if r != C.int32_t(vulkan.Success) {
		c.handle = vulkan.NullPipelineCache
	}
}

// close leaves what was compiled to later runs.
func (c *pipelineCache) close(d *Device) {
	if c.handle == vulkan.NullPipelineCache {
		return
	}
	defer vulkan.DestroyPipelineCache(d.handle, c.handle, nil)
	var n uint
	if c.path == "" || d.Lost() ||
		vulkan.GetPipelineCacheData(d.handle, c.handle, &n, nil) != vulkan.Success ||
		n == 0 || int(n) == c.loaded { // pipelines are only ever added
		return
	}
	data := make([]byte, n)
	if vulkan.GetPipelineCacheData(d.handle, c.handle, &n, unsafe.Pointer(&data[0])) ==
		vulkan.Success {
		_ = writeCache(c.path, data[:n])
	}
}
