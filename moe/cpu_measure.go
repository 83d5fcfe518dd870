package moe

import (
	"context"
	"encoding/binary"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"ufm/internal/hardware"
	"ufm/internal/kernel"
)

// measureFor is how long each of the CPU's ceilings is measured.
const measureFor = 100 * time.Millisecond

// Measure finds the rates of the loops that the backend consists of: what this code
// could reach on this machine, not what the machine could.
func (b *cpuBackend) Measure(ctx context.Context) (hardware.Ceilings, error) {
	return b.measure(ctx, measureSize(), false)
}

// MeasureAll also measures copies by their size.
func (b *cpuBackend) MeasureAll(ctx context.Context) (hardware.Ceilings, error) {
	return b.measure(ctx, measureSize(), true)
}

// measureSize is larger than caches, if the host has so much.
func measureSize() int {
	size := 256 << 20
	if _, available := hostMemory(); available > 0 {
		size = min(size, int(available/8))
	}
	return max(size, 1<<20)
}

// measure copies and reads size bytes at a time.
func (b *cpuBackend) measure(ctx context.Context, size int, all bool) (hardware.Ceilings, error) {
	device := b.Device()
	c := hardware.Ceilings{
		Schema:  hardware.Schema,
		Backend: b.Name(),
		Device:  device.Name,
		Driver:  device.Driver,
		TimeUTC: time.Now().UTC().Format(time.RFC3339),
	}
	from, to := newMemory(int64(size)), newMemory(int64(size))
	fillNaN(from) // pages that were never written to may all be one
	for _, m := range []struct {
		rate  *float64
		scale float64
		run   func() float64
	}{
		{&c.ReadGBs, 1e9, func() float64 { return b.read(from) }},
		{&c.LinkGBs, 1e9, func() float64 { return float64(copy(to, from)) }},
		{&c.F32TFlops, 1e12, b.multiplyAdd},
	} {
		if err := ctx.Err(); err != nil {
			return hardware.Ceilings{}, err
		}
		*m.rate = rate(m.run) / m.scale
	}
	c.LinkBackGBs = c.LinkGBs
	if all {
		c.CopyGBs = c.LinkGBs // the slots are ordinary memory
		c.Link = b.measureLink(ctx, to, from)
	}
	return c, ctx.Err()
}

// measureLink copies memory in pieces of the sizes that the table of a device has. There
// is one copier, as in a run, and both ways are alike.
func (b *cpuBackend) measureLink(ctx context.Context, to, from []byte) (rates []hardware.LinkRate) {
	for piece := 64 << 10; piece <= len(from) && ctx.Err() == nil; piece *= 4 {
		copies := func() float64 {
			for at := 0; at < len(from); at += piece {
				copy(to[at:min(at+piece, len(to))], from[at:])
			}
			return float64(len(from))
		}
		up := rate(copies) / 1e9
		rates = append(rates, hardware.LinkRate{
			Bytes: int64(piece), UpGBs: up, OneQueueGBs: up, DownGBs: up, DownOneQueueGBs: up,
			BusyGBs: b.whileReading(from, copies) / 1e9,
		})
	}
	return rates
}

// whileReading is the rate of run while all threads read memory.
func (b *cpuBackend) whileReading(memory []byte, run func() float64) float64 {
	var stop atomic.Bool
	var readers sync.WaitGroup
	part := min(1<<20, len(memory)) &^ 31
	for range b.threads {
		readers.Go(func() {
			var sum uint64
			for at := 0; !stop.Load(); at = (at + part) % (len(memory) - part + 1) {
				sum += addUp(memory[at:][:part])
			}
			runtime.KeepAlive(sum)
		})
	}
	defer readers.Wait()
	defer stop.Store(true)
	return rate(run)
}

// rate calls run, which returns the amount of work it did, for a while and returns
// the best amount a second.
func rate(run func() float64) float64 {
	run() // first touch
	best := 0.0
	for end := time.Now().Add(measureFor); ; {
		start := time.Now()
		work := run()
		now := time.Now()
		best = max(best, work/now.Sub(start).Seconds())
		if now.After(end) {
			return best
		}
	}
}

// read adds up memory on all threads and returns its size.
func (b *cpuBackend) read(memory []byte) float64 {
	part := len(memory) / b.threads &^ 31
	sums := make([]uint64, b.threads)
	each(make([]struct{}, b.threads), b.threads, func(_ struct{}, i int) {
		sums[i] = addUp(memory[i*part:][:part])
	})
	runtime.KeepAlive(sums)
	return float64(part * b.threads)
}

// addUp reads memory, whose length is a multiple of 32, in four independent sums.
func addUp(memory []byte) uint64 {
	var a, b, c, d uint64
	for ; len(memory) >= 32; memory = memory[32:] {
		a += binary.LittleEndian.Uint64(memory)
		b += binary.LittleEndian.Uint64(memory[8:])
		c += binary.LittleEndian.Uint64(memory[16:])
		d += binary.LittleEndian.Uint64(memory[24:])
	}
	return a + b + c + d
}

// multiplyAdd multiplies rows by a matrix that stays in a core's own cache, on all
// threads, and returns the operations done.
func (b *cpuBackend) multiplyAdd() float64 {
	const rounds, rows, in, out = 8, 64, 256, kernel.MinTileOut
	each(make([]struct{}, b.threads), b.threads, func(struct{}, int) {
		acc, x := make([]float32, rows*kernel.Stride(out)), make([]float32, rows*in)
		m := kernel.Matrix{Data: make([]byte, 4*in*out), In: in, Out: out}
		for range rounds {
			b.kernels.Multiply(acc, m, 0, out, x, rows)
		}
	})
	return float64(2 * rounds * rows * in * out * b.threads)
}
