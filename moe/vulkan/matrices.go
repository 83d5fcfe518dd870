//go:build cgo && linux

package vulkan

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"ufm/shaders"
	"ufm/vk"
)

// hasMatrices reports whether a device has what matrix.comp takes, but for the order of
// elements in a matrix.
func hasMatrices(info vk.DeviceInfo) bool {
	const shared = 16 << 10 // what the largest tiling takes
	return info.BFloat16Matrices && info.SubgroupSize == 32 && info.MaxSharedMemory >= shared &&
		slices.Contains(info.Matrices, vk.MatrixShape{
			M: 16, N: 16, K: 16, A: "bf16", B: "bf16", C: "f32", Result: "f32",
		})
}

// runsMatrices reports whether a device runs matrix.comp: it has the matrices, and their
// elements lie where the kernel takes them to be.
func runsMatrices(d *vk.Device) (_ bool, err error) {
	if !hasMatrices(d.Info()) {
		return false, nil
	}
	found, err := d.NewBuffer(vk.HostCached, 4*2*lanesOfMatrix*elementsOfLane, "a probe of matrices")
	if err != nil {
		return false, memoryError(err)
	}
	defer func() { err = errors.Join(err, found.Close()) }()
	clear(found.Floats())
	push := pushFragments{Dst: found.Address()}
	p, err := d.NewPipeline(shaders.Code("fragments"), nil, pushSize(push))
	if err != nil {
		return false, fmt.Errorf("vulkan: kernel fragments: %w", err)
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	if err := runOnce(d, func(c *vk.Commands) { c.Dispatch(p, pushBytes(push), 1, 1, 1) }); err != nil {
		return false, err
	}
	return elementsInOrder(found.Floats()), nil
}

// runOnce runs commands on the compute queue and waits for them.
func runOnce(d *vk.Device, record func(*vk.Commands)) (err error) {
	b := &batch{queue: d.Compute()}
	r, err := newRecorder(d, b)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	c, err := r.begin(false)
	if err != nil {
		return err
	}
	record(c)
	c.Barrier()
	if err := errors.Join(r.end(c, 1), b.submit()); err != nil {
		return err
	}
	return r.timeline.Wait(context.Background(), 1)
}

// A matrix of 16 × 16 in a subgroup.
const lanesOfMatrix, elementsOfLane = 32, 8

// elementsInOrder compares what fragments.comp found with what matrix.comp expects: lane
// 4g + t has inputs 2t, 2t + 1, 2t + 8 and 2t + 9 of columns, or rows, g and g + 8.
func elementsInOrder(found []float32) bool {
	for i, v := range found[:2*lanesOfMatrix*elementsOfLane] {
		lane, e := i/elementsOfLane%lanesOfMatrix, i%elementsOfLane
		k := 2*(lane%4) + e%2 + e/2%2*8
		if n := lane/4 + e/4*8; v != float32(16*k+n) {
			return false
		}
	}
	return true
}
