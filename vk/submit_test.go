//go:build cgo && linux

package vk

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"time"
)

// addTo records b[i] += step, where s sums b itself with a buffer of steps.
func addTo(t *testing.T, d *Device, b *Buffer, step uint32) (*sum, *Buffer) {
	t.Helper()
	steps := buffer(t, d, HostCached, b.Size())
	setWords(steps.Bytes(), func(int) uint32 { return step })
	return newSum(t, d, 1, 0, b, steps), steps
}

// TestQueuesTakeTurns passes one buffer back and forth between copies and dispatches: each
// dispatch adds 1 to what the copy before it brought.
func TestQueuesTakeTurns(t *testing.T) {
	for _, single := range []bool{false, true} {
		name := map[bool]string{false: "own queues", true: "single queue"}[single]
		t.Run(name, func(t *testing.T) {
			d := open(t, Options{SingleQueue: single})
			if single && (!d.SingleQueue() || d.Transfers()[0] != d.Compute()) {
				t.Fatal("got several queues, want one")
			}
			takeTurns(t, d)
		})
	}
}

func takeTurns(t *testing.T, d *Device) {
	const n, turns = 512, 20
	host := buffer(t, d, HostCached, 4*n)
	setWords(host.Bytes(), func(i int) uint32 { return uint32(i) })
	slot := buffer(t, d, DeviceLocal, 4*n)
	add, _ := addTo(t, d, slot, 1)
	copied := must[*Timeline](t)(d.NewTimeline())
	added := must[*Timeline](t)(d.NewTimeline())

	up := must[*Commands](t)(d.NewCommands(d.Transfers()[0]))
	up.Begin()
	up.Copy(slot, 0, host, 0, 4*n)
	work := must[*Commands](t)(d.NewCommands(d.Compute()))
	work.Begin()
	add.record(work, slot, n)
	down := must[*Commands](t)(d.NewCommands(d.Transfers()[0]))
	down.Begin()
	down.Copy(host, 0, slot, 0, 4*n)
	down.Barrier()
	for _, c := range []*Commands{up, work, down} {
		if err := c.End(); err != nil {
			t.Fatal(err)
		}
	}
	for turn := range uint64(turns) {
		// Turn by turn the values of copied are 2t+1 (up) and 2t+2 (down).
		submit := func(q *Queue, c *Commands, wait, signal Point) {
			err := q.Submit(Submission{Commands: c, Wait: []Point{wait}, Signal: []Point{signal}})
			if err != nil {
				t.Fatal(err)
			}
		}
		submit(d.Transfers()[0], up, Point{copied, 2 * turn}, Point{copied, 2*turn + 1})
		submit(d.Compute(), work, Point{copied, 2*turn + 1}, Point{added, turn + 1})
		submit(d.Transfers()[0], down, Point{added, turn + 1}, Point{copied, 2*turn + 2})
		// The commands are submitted again next turn, so they must be done by then.
		if err := copied.Wait(context.Background(), 2*turn+2); err != nil {
			t.Fatal(err)
		}
	}
	checkWords(t, host.Bytes(), func(i int) uint32 { return uint32(i + turns) })
}

// Two queues may be handed a wait before its signal.
func TestWaitBeforeSignal(t *testing.T) {
	d := open(t, Options{})
	if d.SingleQueue() {
		t.Skip("with one queue a wait before its signal would never end")
	}
	first := must[*Timeline](t)(d.NewTimeline())
	last := must[*Timeline](t)(d.NewTimeline())
	err := d.Compute().Submit(Submission{Wait: []Point{{first, 1}}, Signal: []Point{{last, 1}}})
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(5 * time.Millisecond)
	if v, err := last.Value(); v != 0 || err != nil {
		t.Errorf("before the signal: got %d, %v, want 0", v, err)
	}
	for i, q := range d.Transfers() {
		if err := q.Submit(Submission{Wait: []Point{{first, uint64(i)}},
			Signal: []Point{{first, uint64(i) + 1}}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := last.Wait(context.Background(), 1); err != nil {
		t.Error(err)
	}
}

// TestGarbageCollectorPressure submits from several goroutines while the collector runs
// without pause: nothing that Vulkan reads may be Go memory that moves or goes.
func TestGarbageCollectorPressure(t *testing.T) {
	d := open(t, Options{})
	stop := make(chan struct{})
	var collector, workers sync.WaitGroup
	collector.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				runtime.GC()
			}
		}
	})
	const n, loops = 256, 40
	for worker := range 3 {
		b := buffer(t, d, HostCached, 4*n)
		setWords(b.Bytes(), func(int) uint32 { return 0 })
		add, _ := addTo(t, d, b, uint32(worker+1))
		workers.Go(func() {
			if err := addRepeatedly(d, add, b, n, loops); err != nil {
				t.Error(err)
				return
			}
			checkWords(t, b.Bytes(), func(int) uint32 { return uint32(loops * (worker + 1)) })
		})
	}
	workers.Wait()
	close(stop)
	collector.Wait()
}

// addRepeatedly makes everything anew for each of its loops.
func addRepeatedly(d *Device, add *sum, b *Buffer, n, loops int) error {
	for range loops {
		c, err := d.NewCommands(d.Compute())
		if err != nil {
			return err
		}
		done, err := d.NewTimeline()
		if err != nil {
			return err
		}
		c.Begin()
		add.record(c, b, n)
		c.Barrier()
		if err := c.End(); err != nil {
			return err
		}
		err = d.Compute().Submit(Submission{Commands: c, Signal: []Point{{done, 1}}})
		if err != nil {
			return err
		}
		if err := done.Wait(context.Background(), 1); err != nil {
			return err
		}
		c.Close()
		done.Close()
	}
	return nil
}
