//go:build cgo && linux

package vulkan

import (
	"context"
	"errors"
	"slices"
	"time"

	"ufm/internal/hardware"
	"ufm/shaders"
	"ufm/vk"
)

// Measure returns the device's ceilings: medians of a few repetitions each, long enough
// that launch costs do not show.
func (b *backend) Measure(ctx context.Context) (hardware.Ceilings, error) {
	info := b.device.Info()
	c := hardware.Ceilings{Backend: b.Name(), Device: info.Name, Driver: info.Driver}
	p := &probe{device: b.device, readBytes: 2 << 30, linkBytes: 512 << 20, workgroups: 1 << 14, rounds: 1024,
		hot: 250 * time.Millisecond}
	if info.Kind == "CPU" {
		p.readBytes, p.linkBytes, p.workgroups, p.rounds = 128<<20, 64<<20, 64, 64
		p.hot = 20 * time.Millisecond
	}
	err := p.open()
	if err == nil {
		c.ReadGBs, err = p.read(ctx)
	}
	if err == nil {
		c.F32TFlops, err = p.flops(ctx)
	}
	if err == nil {
		c.LinkGBs, err = p.link(ctx)
	}
	return c, errors.Join(memoryError(err), p.close())
}

// Heat keeps the compute queue busy for d. Only GPUs need it.
func (b *backend) Heat(ctx context.Context, d time.Duration) error {
	if b.device.Info().Kind == "CPU" {
		return nil
	}
	p := &probe{device: b.device, readBytes: 1 << 20, workgroups: 1 << 12, rounds: 1024, hot: d}
	err := p.open()
	if err == nil {
		_, err = p.flops(ctx)
	}
	return errors.Join(memoryError(err), p.close())
}

// probe measures one ceiling after the other.
type probe struct {
	device     *vk.Device
	readBytes  int64
	linkBytes  int64
	workgroups int
	rounds     int
	hot        time.Duration // an idle GPU takes so long to raise its clocks

	closers  []interface{ Close() error }
	target   *vk.Buffer // readBytes of device memory
	commands []*vk.Commands
	queues   []*vk.Queue // compute first, then the transfer queues
	clocks   []*vk.Timeline
	values   []uint64
}

const repetitions = 5

func (p *probe) open() error {
	var err error
	if p.target, err = p.device.NewBuffer(vk.DeviceLocal, p.readBytes, "measurement"); err != nil {
		return err
	}
	p.closers = append(p.closers, p.target)
	p.queues = append([]*vk.Queue{p.device.Compute()}, p.device.Transfers()...)
	for _, q := range p.queues {
		t, err := p.device.NewTimeline()
		if err != nil {
			return err
		}
		p.closers = append(p.closers, t)
		c, err := p.device.NewCommands(q)
		if err != nil {
			return err
		}
		p.closers = append(p.closers, c)
		p.commands, p.clocks = append(p.commands, c), append(p.clocks, t)
	}
	p.values = make([]uint64, len(p.queues))
	return nil
}

func (p *probe) close() error {
	var errs []error
	for _, c := range slices.Backward(p.closers) {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// timed records work on some queues, runs it and returns the median time in seconds.
func (p *probe) timed(ctx context.Context, queues []int, record func(q int, c *vk.Commands)) (float64, error) {
	var times []float64
	for first := time.Now(); len(times) < repetitions; {
		for _, q := range queues {
			c := p.commands[q]
			c.Begin()
			record(q, c)
			if err := c.End(); err != nil {
				return 0, err
			}
		}
		start := time.Now()
		for _, q := range queues {
			p.values[q]++
			done := []vk.Point{{Timeline: p.clocks[q], Value: p.values[q]}}
			if err := p.queues[q].Submit(vk.Submission{Commands: p.commands[q], Signal: done}); err != nil {
				return 0, err
			}
		}
		for _, q := range queues {
			if err := p.clocks[q].Wait(ctx, p.values[q]); err != nil {
				return 0, err
			}
		}
		if start.Sub(first) >= p.hot {
			times = append(times, time.Since(start).Seconds())
		}
	}
	slices.Sort(times)
	return times[len(times)/2], nil
}

func (p *probe) pipeline(name string, push any) (*vk.Pipeline, error) {
	pipeline, err := p.device.NewPipeline(shaders.Code(name), nil, pushSize(push))
	if err == nil {
		p.closers = append(p.closers, pipeline)
	}
	return pipeline, err
}

// read measures device memory read by a kernel, in GB/s.
func (p *probe) read(ctx context.Context) (float64, error) {
	pipeline, err := p.pipeline("read", pushRead{})
	if err != nil {
		return 0, err
	}
	const workgroupBytes = 16 * 256 * 16 // as in read.comp
	groups := int(p.readBytes / workgroupBytes)
	const wide = 1 << 15
	push := pushBytes(pushRead{Src: p.target.Address(), Dst: p.target.Address()})
	const passes = 4
	seconds, err := p.timed(ctx, []int{0}, func(_ int, c *vk.Commands) {
		for range passes {
			c.Dispatch(pipeline, push, min(groups, wide), 1, 1)
		}
	})
	bytes := float64(passes) * float64(min(groups, wide)) * workgroupBytes
	return bytes / seconds / 1e9, err
}

// flops measures float32 fused multiply-adds, in TFLOP/s.
func (p *probe) flops(ctx context.Context) (float64, error) {
	pipeline, err := p.pipeline("flops", pushFlops{})
	if err != nil {
		return 0, err
	}
	push := pushBytes(pushFlops{Dst: p.target.Address(), Rounds: uint32(p.rounds), Factor: 0.5})
	seconds, err := p.timed(ctx, []int{0}, func(_ int, c *vk.Commands) {
		c.Dispatch(pipeline, push, p.workgroups, 1, 1)
	})
	const perRound = 256 * 16 * 4 * 2 // threads × chains × vec4 × (multiply, add)
	return float64(p.workgroups) * float64(p.rounds) * perRound / seconds / 1e12, err
}

// link measures uploads from a bank's kind of memory in 16 MiB pieces, dealt to all
// transfer queues, in GB/s.
func (p *probe) link(ctx context.Context) (float64, error) {
	src, err := p.device.NewBuffer(vk.HostCached, p.linkBytes, "measurement")
	if err != nil {
		return 0, err
	}
	p.closers = append(p.closers, src)
	for i := range src.Words() {
		src.Words()[i] = uint32(i) * 2654435761 // untouched pages are not memory yet
	}
	const piece = 16 << 20
	transfers := len(p.queues) - 1
	queues := make([]int, transfers)
	for i := range queues {
		queues[i] = i + 1
	}
	seconds, err := p.timed(ctx, queues, func(q int, c *vk.Commands) {
		for i := q - 1; int64(i)*piece < p.linkBytes; i += transfers {
			at := int64(i) * piece
			c.Copy(p.target, at, src, at, piece)
		}
	})
	return float64(p.linkBytes) / seconds / 1e9, err
}
