package bench

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"ufm/internal/hardware"
	"ufm/moe"
)

const (
	besideFor    = 30 * time.Millisecond // of each measurement
	besideRounds = 3                     // of which the median counts
)

// timeBeside measures what kernels and a copy leave each other where the same cores do
// both: they share cores, caches and memory, and the more of it the fewer rows there are.
// Both are measured alone and together in turn, so that what else the machine does meets
// both.
func timeBeside(
	ctx context.Context, b moe.Backend, s moe.Shape, rates []hardware.ExpertRate,
) (err error) {
	if len(rates) == 0 {
		return nil
	}
	most := int(rates[len(rates)-1].Rows) * timingExperts
	r, err := newTimed(ctx, b, s, most)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	c := newCopier(int(s.ExpertBytes()))
	for i := range rates {
		tokens := int(rates[i].Rows) * timingExperts
		if _, err := r.step(ctx, tokens, timingExperts); err != nil {
			return err
		}
		var computing, copying []float64
		for range besideRounds {
			alone, err := r.mean(ctx)
			if err != nil {
				return err
			}
			c.start()
			time.Sleep(besideFor)
			copied := c.rate()
			together, err := r.mean(ctx)
			beside := c.rate()
			c.stop()
			if err != nil {
				return err
			}
			computing = append(computing, alone/together)
			copying = append(copying, beside/copied)
		}
		slices.Sort(computing)
		slices.Sort(copying)
		rates[i].Beside = min(1, computing[besideRounds/2])
		rates[i].CopyBeside = min(1, copying[besideRounds/2])
	}
	return nil
}

// mean is the time of a step like the last one.
func (r *timed) mean(ctx context.Context) (seconds float64, err error) {
	n, start := 0, time.Now()
	for n < 2 || time.Since(start) < besideFor {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		r.batch.Step = r.next
		r.next++
		r.route(timingExperts)
		if _, err := r.runner.Step(ctx, &r.batch); err != nil {
			return 0, err
		}
		n++
	}
	return time.Since(start).Seconds() / float64(n), nil
}

// copier copies memory in pieces of one size, as the CPU backend's copier does.
type copier struct {
	from, to []byte // more than caches hold
	piece    int
	stopped  atomic.Bool
	moved    atomic.Int64
	done     chan struct{}
	since    time.Time
}

func newCopier(piece int) *copier {
	c := &copier{from: make([]byte, timingBank), to: make([]byte, timingBank), piece: piece}
	for i := range c.from {
		c.from[i] = byte(i) // pages that were never written to may all be one
	}
	copy(c.to, c.from)
	return c
}

func (c *copier) start() {
	c.stopped.Store(false)
	c.done = make(chan struct{})
	c.since = time.Now()
	c.moved.Store(0)
	go func() {
		defer close(c.done)
		for at := 0; !c.stopped.Load(); at += c.piece {
			if at+c.piece > len(c.from) {
				at = 0
			}
			c.moved.Add(int64(copy(c.to[at:][:c.piece], c.from[at:])))
		}
	}()
}

// rate is the bytes a second since the start or the last call.
func (c *copier) rate() float64 {
	now := time.Now()
	rate := float64(c.moved.Swap(0)) / now.Sub(c.since).Seconds()
	c.since = now
	return rate
}

func (c *copier) stop() {
	c.stopped.Store(true)
	<-c.done
}
