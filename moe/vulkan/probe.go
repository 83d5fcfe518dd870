//go:build cgo && linux

package vulkan

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"ufm/shaders"
	"ufm/vk"
)

// probe measures one ceiling after the other.
type probe struct {
	backend    *backend
	device     *vk.Device
	readBytes  int64 // of device memory
	linkBytes  int64 // of host memory, at most readBytes
	sizeBytes  int64 // copied in one piece size of the link's table
	workgroups int   // of flops
	rounds     int
	repeats    int           // of operations whose cost is a mean
	hot        time.Duration // an idle GPU takes so long to raise its clocks

	closers   []interface{ Close() error }
	target    *vk.Buffer // readBytes
	host      *vk.Buffer // linkBytes of the bank's kind; made when first needed
	allocated float64    // seconds a GiB that the driver took for it
	commands  []*vk.Commands
	queues    []*vk.Queue // compute first, then the transfer queues
	clocks    []*vk.Timeline
	values    []uint64
}

// cpuKind is what vk calls a device that is the host's own cores.
const cpuKind = "CPU"

// enoughBytes is what a device's memory has to be read over to see past its caches.
const enoughBytes, enoughBytesCPU = 512 << 20, 32 << 20

// newProbe has sizes for the device, as far as its free memory allows them. A table needs
// room for its largest copy.
func newProbe(b *backend, table bool) *probe {
	d := b.device
	p := &probe{
		backend: b, device: d, readBytes: 2 << 30, linkBytes: 512 << 20, sizeBytes: 512 << 20,
		workgroups: 1 << 14, rounds: 1024, repeats: 1000, hot: 250 * time.Millisecond,
	}
	if d.Info().Kind == cpuKind {
		p.readBytes, p.linkBytes, p.sizeBytes = 128<<20, 64<<20, 64<<20
		if table {
			p.readBytes, p.linkBytes = largestCopy, largestCopy
		}
		p.workgroups, p.rounds, p.repeats, p.hot = 64, 64, 100, 20*time.Millisecond
	}
	const page = 1 << 16 // what one workgroup reads
	free := min(d.DeviceMemoryFree(), d.Info().MaxAllocation)
	p.readBytes = max(min(p.readBytes, free&^(page-1)), page)
	p.linkBytes = min(p.linkBytes, p.readBytes)
	p.sizeBytes = min(p.sizeBytes, p.linkBytes)
	return p
}

// cramped tells whether the memory is too small to be measured by.
func (p *probe) cramped() bool {
	if p.device.Info().Kind == cpuKind {
		return p.readBytes < enoughBytesCPU
	}
	return p.readBytes < enoughBytes
}

// open makes the target of that memory, and what each queue is driven with.
func (p *probe) open(m vk.Memory) error {
	var err error
	if p.target, err = p.device.NewBuffer(m, p.readBytes, "measurement"); err != nil {
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

// openHost makes the host's end of the link.
func (p *probe) openHost() (err error) {
	if p.host != nil {
		return nil
	}
	start := time.Now()
	if p.host, err = p.device.NewBuffer(vk.HostCached, p.linkBytes, "measurement"); err != nil {
		return err
	}
	p.allocated = perGiB(start, p.linkBytes)
	p.closers = append(p.closers, p.host)
	for i := range p.host.Words() {
		p.host.Words()[i] = uint32(i) * 2654435761 // untouched pages are not memory yet
	}
	return nil
}

// close frees everything once the device has finished, also what an interruption left it
// to do. If it does not finish in time, nothing is freed.
func (p *probe) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeWait)
	defer cancel()
	for q, v := range p.values {
		if err := p.clocks[q].Wait(ctx, v); err != nil && !p.device.Lost() {
			p.backend.stuck = true
			return fmt.Errorf("vulkan: measurement: the device is still at work, nothing is freed: %w", err)
		}
	}
	var errs []error
	for _, c := range slices.Backward(p.closers) {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

func (p *probe) pipeline(name string, push any, spec ...uint32) (*vk.Pipeline, error) {
	pipeline, err := p.device.NewPipeline(shaders.Code(name), spec, pushSize(push))
	if err == nil {
		p.closers = append(p.closers, pipeline)
	}
	return pipeline, err
}

func (p *probe) computeQueue() []int { return []int{0} }

// transferQueues are the indexes of all queues that copy.
func (p *probe) transferQueues() []int {
	all := make([]int, len(p.queues)-1)
	for i := range all {
		all[i] = i + 1
	}
	return all
}

const repetitions = 5

// timed records work on some queues, runs it and returns the median time in seconds.
func (p *probe) timed(
	ctx context.Context, queues []int, record func(q int, c *vk.Commands),
) (float64, error) {
	var times []float64
	for first := time.Now(); len(times) < repetitions; {
		if err := p.record(queues, record); err != nil {
			return 0, err
		}
		start := time.Now()
		if err := p.submit(queues); err != nil {
			return 0, err
		}
		if err := p.wait(ctx, queues); err != nil {
			return 0, err
		}
		if start.Sub(first) >= p.hot {
			times = append(times, time.Since(start).Seconds())
		}
	}
	slices.Sort(times)
	return times[len(times)/2], nil
}

func (p *probe) record(queues []int, record func(q int, c *vk.Commands)) error {
	for _, q := range queues {
		c := p.commands[q]
		c.Begin()
		record(q, c)
		if err := c.End(); err != nil {
			return err
		}
	}
	return nil
}

func (p *probe) submit(queues []int) error {
	for _, q := range queues {
		done := []vk.Point{{Timeline: p.clocks[q], Value: p.values[q] + 1}}
		if err := p.queues[q].Submit(vk.Submission{Commands: p.commands[q], Signal: done}); err != nil {
			return err
		}
		p.values[q]++
	}
	return nil
}

func (p *probe) wait(ctx context.Context, queues []int) error {
	for _, q := range queues {
		if err := p.clocks[q].Wait(ctx, p.values[q]); err != nil {
			return err
		}
	}
	return nil
}
