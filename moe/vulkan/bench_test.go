//go:build cgo && linux

package vulkan

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"ufm/moe"
	"ufm/pager"
	"ufm/vk"
)

// benchShape is small on a CPU driver and the published benchmark's on a GPU.
func benchShape(b *backend, form moe.Form, dtype moe.DType) moe.Shape {
	s := moe.Shape{Layers: 1, Experts: 32, DModel: 2048, DHidden: 8192, TopK: 1, Form: form, DType: dtype}
	if b.device.Info().Kind == "CPU" {
		s.Experts, s.DModel, s.DHidden = 4, 128, 256
	}
	return s
}

// bench is a runner with everything resident, and a plan of all experts.
type bench struct {
	*runner
	plan pager.Plan
}

func newBench(t testing.TB, b *backend, s moe.Shape, tokens int, routing []uint32) *bench {
	t.Helper()
	g := newRig(t, b, s, tokens)
	r, err := b.NewRunner(moe.RunConfig{Shape: s, Mode: moe.Baseline, MaxTokens: tokens})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	if err := r.Attach(t.Context(), g.bank); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Step(t.Context(), &moe.Batch{Tokens: tokens, Input: g.input, Routing: routing}); err != nil {
		t.Fatal(err)
	}
	out := &bench{runner: r.(*runner)}
	for e := range s.Experts {
		out.plan.Accesses = append(out.plan.Accesses, pager.Access{
			Expert: pager.ExpertID(e), Slot: pager.Slot(e), Hit: true,
		})
	}
	out.plan.Hits = s.Experts
	return out
}

// hot is how long a device works before it is measured: an idle GPU takes so long to
// raise its clocks.
const hot = 250 * time.Millisecond

// evenly gives every expert the same number of rows, top-1.
func evenly(s moe.Shape, rows int) []uint32 {
	routing := make([]uint32, s.Experts*rows)
	for i := range routing {
		routing[i] = uint32(i % s.Experts)
	}
	return routing
}

// seconds is the median device time of what record records.
func (b *bench) seconds(t testing.TB, record func(c *vk.Commands)) float64 {
	t.Helper()
	var times []float64
	for start := time.Now(); len(times) < 12; {
		c, err := b.compute.begin(false)
		if err != nil {
			t.Fatal(err)
		}
		record(c)
		v := b.schedule.next()
		if err := b.compute.end(c, v); err != nil {
			t.Fatal(err)
		}
		b.times = moe.StepTimes{}
		if err := b.finish(t.Context(), v); err != nil {
			t.Fatal(err)
		}
		if time.Since(start) > hot {
			times = append(times, b.times.Compute.Seconds())
		}
	}
	slices.Sort(times)
	return times[len(times)/2]
}

// BenchmarkExperts times both products of all experts of a layer on the device.
func BenchmarkExperts(b *testing.B) {
	be := open(b, Options{})
	for form := moe.GELU; form <= moe.SwiGLU; form++ {
		for dtype := moe.F32; dtype <= moe.BF16; dtype++ {
			for _, rows := range []int{1, 2, 4, 8, 11, 16, 24, 64, 256} {
				name := fmt.Sprintf("form=%s/dtype=%s/rows=%d", form, dtype, rows)
				b.Run(name, func(b *testing.B) {
					s := benchShape(be, form, dtype)
					x := newBench(b, be, s, rows*s.Experts, evenly(s, rows))
					step := &moe.Batch{Tokens: rows * s.Experts}
					var seconds float64
					for b.Loop() {
						seconds = x.seconds(b, func(c *vk.Commands) {
							x.recordExperts(c, step, 0, x.plan.Accesses)
						})
					}
					b.ReportMetric(float64(s.BankBytes())/seconds/1e9, "weight-GB/s")
					b.ReportMetric(float64(s.ExpertFlops())*float64(rows*s.Experts)/seconds/1e12, "TFLOP/s")
					b.ReportMetric(seconds*1e6, "device-µs")
				})
			}
		}
	}
}

// BenchmarkRouter times everything of a layer before and after the experts.
func BenchmarkRouter(b *testing.B) {
	be := open(b, Options{})
	for _, rows := range []int{1, 16} {
		b.Run(fmt.Sprintf("rows=%d", rows), func(b *testing.B) {
			s := benchShape(be, moe.GELU, moe.F16)
			x := newBench(b, be, s, rows*s.Experts, evenly(s, rows))
			batch := &moe.Batch{Tokens: rows * x.cfg.Shape.Experts}
			var router, combine float64
			for b.Loop() {
				router = x.seconds(b, func(c *vk.Commands) { x.recordRouter(c, batch, 0) })
				combine = x.seconds(b, func(c *vk.Commands) { x.recordCombine(c, batch, 0) })
			}
			b.ReportMetric(router*1e6, "router-µs")
			b.ReportMetric(combine*1e6, "combine-µs")
		})
	}
}

// BenchmarkStep times the pieces of a resident step of the published shape: uniform
// routing, so that experts have different numbers of rows.
func BenchmarkStep(b *testing.B) {
	be := open(b, Options{})
	for _, tokens := range []int{1, 512} {
		b.Run(fmt.Sprintf("tokens=%d", tokens), func(b *testing.B) {
			s := benchShape(be, moe.GELU, moe.F32)
			s.TopK = 2
			routing := make([]uint32, tokens*s.TopK)
			for i := range routing { // every token another two, unevenly
				routing[i] = uint32(i*i/2+i) % uint32(s.Experts)
			}
			x := newBench(b, be, s, tokens, routing)
			batch := &moe.Batch{Tokens: tokens}
			pieces := []struct {
				name   string
				record func(c *vk.Commands)
			}{
				{"router-µs", func(c *vk.Commands) {
					x.planned = true
					x.recordRouter(c, batch, 0)
					x.planned = false
				}},
				{"experts-µs", func(c *vk.Commands) {
					x.planned = true
					x.recordPlanned(c, batch, 0)
					x.planned = false
				}},
				{"combine-µs", func(c *vk.Commands) { x.recordCombine(c, batch, 0) }},
				{"all-µs", func(c *vk.Commands) { x.recordResident(c, batch) }},
			}
			for b.Loop() {
				for _, p := range pieces {
					b.ReportMetric(x.seconds(b, p.record)*1e6, p.name)
				}
			}
		})
	}
}
