//go:build cgo && linux

package vulkan

import (
	"errors"
	"fmt"

	"ufm/vk"
)

// blockBytes is the size of an allocation that holds many experts; drivers limit how
// large one may be, and shader offsets inside an expert are 32 bits wide.
const blockBytes = 1 << 30

// place is where an expert lies.
type place struct {
	buffer *vk.Buffer
	offset int64
}

func (p place) address() uint64 { return p.buffer.Address() + uint64(p.offset) }

// arena holds many experts in a few large allocations of device memory; none straddles two.
type arena struct {
	blocks   []*vk.Buffer
	perBlock int
	each     int64 // bytes of one expert
}

// newArena allocates room for count experts of each bytes.
func newArena(d *vk.Device, count int, each int64, what string) (*arena, error) {
	a := &arena{each: each, perBlock: max(1, int(blockBytes/each))}
	for left := count; left > 0; left -= a.perBlock {
		b, err := d.NewBuffer(vk.DeviceLocal, int64(min(left, a.perBlock))*each, what)
		if err != nil {
			return nil, errors.Join(err, a.Close())
		}
		a.blocks = append(a.blocks, b)
	}
	return a, nil
}

// at tells where expert or slot i lies.
func (a *arena) at(i int) place {
	return place{a.blocks[i/a.perBlock], int64(i%a.perBlock) * a.each}
}

// Close frees the memory.
func (a *arena) Close() error {
	var errs []error
	for _, b := range a.blocks {
		errs = append(errs, b.Close())
	}
	a.blocks = nil
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("vulkan: arena: %w", err)
	}
	return nil
}
