//go:build cgo && linux

package vulkan

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"ufm/moe"
	"ufm/pager"
)

// uploads is as much of a runner as moves experts: a bank, a pool with a slot for each, and
// queues.
func uploads(t testing.TB, b *backend, s moe.Shape, queues int) *runner {
	t.Helper()
	m, err := moe.NewSynthetic(s, 1)
	if err != nil {
		t.Fatal(err)
	}
	k, err := b.NewBank(t.Context(), m, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := &runner{
		backend: b, device: b.device, layout: moe.NewLayout(s), bank: k.(*bank),
		cfg: moe.RunConfig{Shape: s},
	}
	t.Cleanup(func() {
		if err := errors.Join(r.Close(), k.Close()); err != nil {
			t.Error(err)
		}
	})
	if r.pool, err = newArena(b.device, s.Experts, r.layout.Bytes, "slots"); err != nil {
		t.Fatal(err)
	}
	r.own(r.pool)
	if err := r.openQueues(); err != nil {
		t.Fatal(err)
	}
	r.transfers = r.transfers[:queues]
	r.schedule = newScheduler(s.Experts, queues, r.layout.Bytes)
	if k := r.bank; k.ring != nil {
		r.schedule.stageBytes = k.ring.stages[0].buffer.Size()
	}
	return r
}

// uploadOnce brings every expert to its slot, in bundles as a group's misses, and waits.
func (r *runner) uploadOnce(t testing.TB) {
	n := r.cfg.Shape.Experts
	bundle := r.schedule.bundle()
	for first := 0; first < n; first += bundle {
		var accesses []pager.Access
		for e := first; e < min(first+bundle, n); e++ {
			accesses = append(accesses, pager.Access{Expert: pager.ExpertID(e), Slot: pager.Slot(e)})
		}
		if err := r.recordUpload(r.schedule.prefetch(accesses)); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.submitAll(); err != nil {
		t.Fatal(err)
	}
	for _, q := range r.transfers {
		if err := q.timeline.Wait(t.Context(), q.submitted); err != nil {
			t.Fatal(err)
		}
		q.finished(q.submitted)
		if err := q.recycle(); err != nil {
			t.Fatal(err)
		}
	}
}

// BenchmarkUpload times one batch of uploads from a bank that is held in each way, until the
// host knows that all have ended.
func BenchmarkUpload(b *testing.B) {
	for hold := Allocated; hold <= Staged; hold++ {
		be := open(b, Options{})
		be.hold = hold
		total := int64(512 << 20)
		if be.device.Info().Kind == cpuKind {
			total = 128 << 20
		}
		for size := int64(64 << 10); size <= 64<<20; size *= 4 {
			s := moe.Shape{Layers: 1, Experts: int(total / size), DModel: 64, DHidden: int(size / 512), TopK: 1}
			for queues := 1; queues <= min(len(be.device.Transfers()), maxTransfers); queues++ {
				name := fmt.Sprintf("hold=%s/kib=%d/queues=%d", hold, size>>10, queues)
				b.Run(name, func(b *testing.B) {
					r := uploads(b, be, s, queues)
					for start := time.Now(); time.Since(start) < hot; {
						r.uploadOnce(b)
					}
					start, n := time.Now(), 0
					for b.Loop() {
						r.uploadOnce(b)
						n++
					}
					b.ReportMetric(float64(n)*float64(total)/time.Since(start).Seconds()/1e9, "GB/s")
				})
			}
		}
	}
}

// BenchmarkBank times building a bank, and beside it writing as much fresh memory once with
// all cores.
func BenchmarkBank(b *testing.B) {
	for hold := Allocated; hold <= Staged; hold++ {
		be := open(b, Options{})
		be.hold = hold
		for dtype := moe.F32; dtype <= moe.BF16; dtype++ {
			b.Run(fmt.Sprintf("hold=%s/dtype=%s", hold, dtype), func(b *testing.B) {
				s := moe.Shape{Layers: 1, Experts: 64, DModel: 2048, DHidden: 8192, TopK: 1, DType: dtype}
				if be.device.Info().Kind == cpuKind {
					s.DHidden = 1024 // 1 GiB, and half of it in 16 bits
				}
				m, err := moe.NewSynthetic(s, 1)
				if err != nil {
					b.Fatal(err)
				}
				var fill, write time.Duration
				for b.Loop() {
					start := time.Now()
					k, err := be.NewBank(b.Context(), m, nil)
					if err != nil {
						b.Fatal(err)
					}
					fill += time.Since(start)
					if err := k.Close(); err != nil {
						b.Fatal(err)
					}
					write += writeOnce(b, s.BankBytes())
				}
				total := float64(s.BankBytes()) * float64(b.N) / 1e9
				b.ReportMetric(total/fill.Seconds(), "bank-GB/s")
				b.ReportMetric(total/write.Seconds(), "write-GB/s")
			})
		}
	}
}

// writeOnce is the time that all cores need to write fresh memory.
func writeOnce(t testing.TB, size int64) time.Duration {
	start := time.Now()
	m, err := newMapping(size)
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	part := over(int(size), runtime.GOMAXPROCS(0))
	for first := 0; first < int(size); first += part {
		piece := m[first:min(first+part, int(size))]
		work.Go(func() { clear(piece) })
	}
	work.Wait()
	took := time.Since(start)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	return took
}
