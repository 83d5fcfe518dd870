//go:build cgo && linux

package vulkan

import (
	"context"
	"slices"
	"time"

	"ufm/internal/hardware"
	"ufm/vk"
)

// copyFunc records a copy of n bytes at an offset that is the same at both ends.
type copyFunc func(c *vk.Commands, at, n int64)

func (p *probe) upload(from *vk.Buffer) copyFunc {
	return func(c *vk.Commands, at, n int64) { c.Copy(p.target, at, from, at, n) }
}

func (p *probe) download(c *vk.Commands, at, n int64) { c.Copy(p.host, at, p.target, at, n) }

// copies measures total bytes copied in pieces that are dealt to some transfer queues,
// in GB/s.
func (p *probe) copies(
	ctx context.Context, queues []int, piece, total int64, one copyFunc,
) (float64, error) {
	seconds, err := p.timed(ctx, queues, deal(queues, piece, total, one))
	return float64(total) / seconds / 1e9, err
}

// deal records each queue's share of total bytes: pieces in turn.
func deal(queues []int, piece, total int64, one copyFunc) func(q int, c *vk.Commands) {
	return func(q int, c *vk.Commands) {
		first, step := piece*int64(slices.Index(queues, q)), piece*int64(len(queues))
		for at := first; at < total; at += step {
			one(c, at, min(piece, total-at))
		}
	}
}

// smallestCopy and largestCopy bound the sizes of the link's table, each four times the
// one before it.
const smallestCopy, largestCopy = 64 << 10, 256 << 20

// table measures the link by size of copy. readGBs tells how long compute can be kept busy.
func (p *probe) table(ctx context.Context, readGBs float64) (rates []hardware.LinkRate, err error) {
	all := p.transferQueues()
	for piece := int64(smallestCopy); piece <= min(largestCopy, p.linkBytes); piece *= 4 {
		r := hardware.LinkRate{Bytes: piece}
		for _, way := range []struct {
			copy       copyFunc
			queues     []int
			idle, busy *float64
		}{
			{p.upload(p.host), all, &r.UpGBs, &r.BusyGBs},
			{p.download, all, &r.DownGBs, &r.DownBusyGBs},
			{p.upload(p.host), all[:1], &r.OneQueueGBs, &r.OneQueueBusyGBs},
			{p.download, all[:1], &r.DownOneQueueGBs, &r.DownOneQueueBusyGBs},
		}[:2*min(len(all), 2)] {
			total := max(piece, p.sizeBytes)
			if *way.idle, err = p.copies(ctx, way.queues, piece, total, way.copy); err != nil {
				return nil, err
			}
			if p.device.SingleQueue() { // nothing can be copied there while compute is busy
				continue
			}
			record := deal(way.queues, piece, total, way.copy)
			seconds := float64(total) / *way.idle / 1e9
			if *way.busy, err = p.busy(ctx, way.queues, record, total, seconds, readGBs); err != nil {
				return nil, err
			}
		}
		if len(all) == 1 {
			r.OneQueueGBs, r.OneQueueBusyGBs = r.UpGBs, r.BusyGBs
			r.DownOneQueueGBs, r.DownOneQueueBusyGBs = r.DownGBs, r.DownBusyGBs
		}
		rates = append(rates, r)
	}
	return rates, nil
}

// busy measures copies of total bytes on some transfer queues while the compute queue reads
// device memory from before their start until after their end; alone they take so many
// seconds. It is 0 where no amount of reading outlasts them: on one queue they come after it.
func (p *probe) busy(
	ctx context.Context, copying []int, copies func(q int, c *vk.Commands), total int64,
	alone, readGBs float64,
) (float64, error) {
	pass, bytes, err := p.reader()
	if err != nil {
		return 0, err
	}
	all := append(p.computeQueue(), copying...)
	passes := 2 + int(1.5*alone*readGBs*1e9/float64(bytes))
	var times []float64
	for tries := 0; len(times) < repetitions; {
		err := p.record(all, func(q int, c *vk.Commands) {
			if q > 0 {
				copies(q, c)
				return
			}
			for range passes {
				pass(c)
			}
		})
		if err != nil {
			return 0, err
		}
		seconds, covered, err := p.covered(ctx, copying)
		if err != nil {
			return 0, err
		}
		if !covered {
			if tries++; tries > 4 {
				return 0, nil
			}
			passes *= 2
			continue
		}
		times = append(times, seconds)
	}
	slices.Sort(times)
	return float64(total) / times[len(times)/2] / 1e9, nil
}

// covered times the copies beside what the compute queue was given before, and tells
// whether that outlasted them.
func (p *probe) covered(ctx context.Context, copying []int) (seconds float64, ok bool, err error) {
	if err := p.submit(p.computeQueue()); err != nil {
		return 0, false, err
	}
	start := time.Now()
	if err := p.submit(copying); err != nil {
		return 0, false, err
	}
	if err := p.wait(ctx, copying); err != nil {
		return 0, false, err
	}
	seconds = time.Since(start).Seconds()
	reached, err := p.clocks[0].Value()
	if err != nil {
		return 0, false, err
	}
	return seconds, reached < p.values[0], p.wait(ctx, p.computeQueue())
}
