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
	for piece := int64(smallestCopy); piece <= min(largestCopy, p.linkBytes); piece *= 4 {
		r := hardware.LinkRate{Bytes: piece}
		all, total := p.transferQueues(), max(piece, p.sizeBytes)
		if r.UpGBs, err = p.copies(ctx, all, piece, total, p.upload(p.host)); err != nil {
			return nil, err
		}
		r.OneQueueGBs = r.UpGBs
		if len(all) > 1 {
			r.OneQueueGBs, err = p.copies(ctx, all[:1], piece, total, p.upload(p.host))
			if err != nil {
				return nil, err
			}
		}
		if r.DownGBs, err = p.copies(ctx, all, piece, total, p.download); err != nil {
			return nil, err
		}
		if !p.device.SingleQueue() { // there, nothing can be uploaded while compute is busy
			if r.BusyGBs, err = p.busy(ctx, piece, total, r.UpGBs, readGBs); err != nil {
				return nil, err
			}
		}
		rates = append(rates, r)
	}
	return rates, nil
}

// busy measures uploads while the compute queue reads device memory from before their
// start until after their end. It is 0 where no amount of reading outlasts them: on one
// queue uploads come after it.
func (p *probe) busy(
	ctx context.Context, piece, total int64, upGBs, readGBs float64,
) (float64, error) {
	pass, bytes, err := p.reader()
	if err != nil {
		return 0, err
	}
	uploads, all := p.transferQueues(), append(p.computeQueue(), p.transferQueues()...)
	copies := deal(uploads, piece, total, p.upload(p.host))
	passes := 2 + int(1.5*float64(total)/upGBs*readGBs/float64(bytes))
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
		seconds, covered, err := p.covered(ctx, uploads)
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

// covered times the uploads beside what the compute queue was given before, and tells
// whether that outlasted them.
func (p *probe) covered(ctx context.Context, uploads []int) (seconds float64, ok bool, err error) {
	if err := p.submit(p.computeQueue()); err != nil {
		return 0, false, err
	}
	start := time.Now()
	if err := p.submit(uploads); err != nil {
		return 0, false, err
	}
	if err := p.wait(ctx, uploads); err != nil {
		return 0, false, err
	}
	seconds = time.Since(start).Seconds()
	reached, err := p.clocks[0].Value()
	if err != nil {
		return 0, false, err
	}
	return seconds, reached < p.values[0], p.wait(ctx, p.computeQueue())
}
