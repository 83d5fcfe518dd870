package sim_test

import (
	"fmt"
	"sync"
	"testing"

	"ufm/pager"
	"ufm/sim"
)

// rate reports accesses per second, and the processor time of one: start before the
// loop, report after it.
type rate struct{ before float64 }

func startRate() rate { return rate{cpuSeconds()} }

func (r rate) report(b *testing.B, accesses int64) {
	b.ReportMetric(float64(accesses)/b.Elapsed().Seconds()/1e6, "Maccesses/s")
	if used := cpuSeconds() - r.before; used > 0 {
		b.ReportMetric(used*1e9/float64(accesses), "cpu-ns/access")
	}
}

// Whole groups, as a real run asks for them.
func BenchmarkReplay(b *testing.B) {
	shape, groups := decoded(b, tiny)
	for _, policy := range []string{"lru", "nextuse", "belady"} {
		b.Run("policy="+policy+"/slots=64", func(b *testing.B) {
			accesses, rate := int64(0), startRate()
			b.ReportAllocs()
			for b.Loop() {
				r, err := sim.Replay(shape, groups, sim.Options{Policy: policy, Slots: 64})
				if err != nil {
					b.Fatal(err)
				}
				accesses += r.Stats.Accesses
			}
			rate.report(b, accesses)
		})
	}
}

// rotated is the tiny trace six times over, each time with its layers moved on by one.
func rotated(b *testing.B) (pager.Shape, []pager.ExpertID) {
	shape, accesses := sim.Accesses(load(b, tiny))
	universe := shape.Universe()
	var all []pager.ExpertID
	for turn := range 6 {
		for _, e := range accesses {
			all = append(all, pager.ExpertID((int(e)+turn*shape.Experts)%universe))
		}
	}
	return shape, all
}

// Single accesses, as general simulators count.
func BenchmarkReplayFlat(b *testing.B) {
	shape, accesses := rotated(b)
	for _, policy := range sim.Policies() {
		b.Run("policy="+policy.Name+"/slots=64", func(b *testing.B) {
			b.ReportAllocs()
			total, rate := int64(0), startRate()
			for b.Loop() {
				r, err := sim.ReplayFlat(shape, accesses, sim.Options{Policy: policy.Name, Slots: 64})
				if err != nil {
					b.Fatal(err)
				}
				total += r.Stats.Accesses
			}
			rate.report(b, total)
		})
	}
}

// Six policies at eight sizes, on as many cores as there are.
func BenchmarkSweepFlat(b *testing.B) {
	shape, accesses := rotated(b)
	rate := startRate()
	type cell struct {
		policy string
		slots  int
	}
	for b.Loop() {
		cells := make(chan cell)
		var workers sync.WaitGroup
		for range 2 {
			workers.Go(func() {
				for c := range cells {
					_, err := sim.ReplayFlat(shape, accesses,
						sim.Options{Policy: c.policy, Slots: c.slots})
					if err != nil {
						panic(fmt.Sprint(c, err))
					}
				}
			})
		}
		for _, policy := range []string{"lru", "fifo", "clock", "sieve", "s3fifo", "belady"} {
			for _, slots := range []int{8, 16, 32, 48, 64, 96, 128, 192} {
				cells <- cell{policy, slots}
			}
		}
		close(cells)
		workers.Wait()
	}
	rate.report(b, int64(b.N*48*len(accesses)))
}
