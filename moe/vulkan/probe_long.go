//go:build cgo && linux

package vulkan

import (
	"context"
	"errors"
	"time"

	"ufm/internal/hardware"
	"ufm/vk"
)

// long measures everything.
func (p *probe) long(ctx context.Context, c *hardware.Ceilings) (err error) {
	if err = p.short(ctx, c); err != nil {
		return err
	}
	p.hot = min(p.hot, 20*time.Millisecond) // the device is warm now
	if c.CopyGBs, err = p.copyWithin(ctx); err != nil {
		return err
	}
	if c.Link, err = p.table(ctx, c.ReadGBs); err != nil {
		return err
	}
	if c.LinkBackGBs, err = p.copies(
		ctx, p.transferQueues(), linkPiece, p.linkBytes, p.download); err != nil {
		return err
	}
	if err = p.costs(ctx, c); err != nil {
		return err
	}
	if c.ImportAnonymous, err = p.importAnonymous(ctx); err != nil {
		return err
	}
	c.AllocateSPerGiB = p.allocated
	if c.OverAllocation, err = p.overAllocate(ctx); err != nil {
		return err
	}
	c.ImportFile, err = p.importFile(ctx)
	return err
}

// copyWithin measures copies by a kernel from one half of the target to the other, in GB/s.
// The driver's copy command is no ceiling: on an H200 that reads 4,569 GB/s it reached 412.
func (p *probe) copyWithin(ctx context.Context) (float64, error) {
	pipeline, err := p.pipeline("copy", pushRead{})
	if err != nil {
		return 0, err
	}
	groups := min(int(p.readBytes/2/passBytes), passGroups)
	if groups == 0 {
		return 0, nil // a single workgroup's memory
	}
	bytes, from := int64(groups)*passBytes, p.target.Address()
	push := pushBytes(pushRead{Src: from, Dst: from + uint64(bytes)})
	seconds, err := p.timed(ctx, p.computeQueue(), func(_ int, c *vk.Commands) {
		c.Dispatch(pipeline, push, groups, 1, 1)
	})
	return float64(bytes) / seconds / 1e9, err
}

// costs measures what single operations cost beyond their bytes.
func (p *probe) costs(ctx context.Context, c *hardware.Ceilings) error {
	wait, err := p.timed(ctx, p.computeQueue(), func(int, *vk.Commands) {})
	if err != nil {
		return err
	}
	c.SubmitWaitUs = 1e6 * wait

	pipeline, err := p.pipeline("flops", pushFlops{})
	if err != nil {
		return err
	}
	push := pushBytes(pushFlops{Dst: p.target.Address(), Rounds: 1, Factor: 0.5})
	dispatches := func(barriers bool) (float64, error) {
		return p.timed(ctx, p.computeQueue(), func(_ int, c *vk.Commands) {
			for range p.repeats {
				c.Dispatch(pipeline, push, 1, 1, 1)
				if barriers {
					c.Barrier()
				}
			}
		})
	}
	bare, err := dispatches(false)
	if err != nil {
		return err
	}
	ordered, err := dispatches(true)
	if err != nil {
		return err
	}
	c.BarrierUs = max(0, 1e6*(ordered-bare)/float64(p.repeats))
	c.CopyLatencyUs, err = p.copyLatency(ctx, wait)
	return err
}

// copyLatency is the time of a small copy in a long row of them, in microseconds. wait is
// what the submission costs without any.
func (p *probe) copyLatency(ctx context.Context, wait float64) (float64, error) {
	const piece = 256 // its bytes take no time worth counting
	count := min(int64(4*p.repeats), p.linkBytes/piece)
	one := p.transferQueues()[:1]
	seconds, err := p.timed(ctx, one, deal(one, piece, count*piece, p.upload(p.host)))
	return max(0, 1e6*(seconds-wait)/float64(count)), err
}

// overAllocate takes device memory until there is no more, or two GiB more than there is,
// and gives it all back. Where the memory is the host's too, that could hurt the host:
// there it does nothing and tells nothing. Nor does it where memory ends long before what is free.
func (p *probe) overAllocate(ctx context.Context) (what string, err error) {
	info := p.device.Info()
	if info.Unified {
		return "", nil
	}
	var size int64
	for _, h := range info.Heaps {
		if h.DeviceLocal {
			size = max(size, h.Size)
		}
	}
	const block = 1 << 30
	free := p.device.DeviceMemoryFree()
	var blocks []*vk.Buffer
	defer func() {
		for _, b := range blocks {
			err = errors.Join(err, b.Close())
		}
	}()
	for taken := p.readBytes; taken < size+2*block; taken += block {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		b, err := p.device.NewBuffer(vk.DeviceLocal, min(block, info.MaxAllocation), "over-allocation")
		var oom *vk.OutOfMemoryError
		switch {
		case errors.As(err, &oom) && oom.Limit > 0:
			return "", nil // our own limit, not the driver's
		case errors.As(err, &oom) && int64(len(blocks)+2)*block < free:
			return "", nil
		case errors.As(err, &oom):
			return "fails", nil
		case err != nil:
			return "", err
		}
		blocks = append(blocks, b)
	}
	return "spills", nil
}
