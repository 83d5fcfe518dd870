//go:build cgo && linux

package vulkan

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"ufm/moe"
	"ufm/moe/tiny"
	"ufm/pager"
	"ufm/vk"
)

// benchModel is a model with the shapes of Qwen3-30B-A3B and as many layers as
// UFM_BENCH_LAYERS says, or the trained one on a CPU driver.
func benchModel(b *testing.B, be *backend) moe.TextModel {
	b.Helper()
	if be.device.Info().Kind == "CPU" {
		m, err := moe.OpenText(tiny.FS(), tiny.Name)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { m.Close() })
		return m
	}
	layers := 12
	if n, err := strconv.Atoi(os.Getenv("UFM_BENCH_LAYERS")); err == nil {
		layers = n
	}
	m, err := moe.NewSyntheticText("qwen3-30b-a3b", layers, moe.BF16, 1)
	if err != nil {
		b.Fatal(err)
	}
	return m
}

// activeBytes are the weights that one token reads: of the layers, and of the head.
func activeBytes(m moe.TextModel) (layers, head int64) {
	s, c := m.Shape(), m.Config()
	size := int64(m.DenseDType().Size())
	for _, kind := range []moe.DenseKind{moe.Query, moe.Key, moe.Value, moe.AttentionOutput} {
		out, in := c.DenseShape(kind)
		layers += size * int64(out) * int64(in)
	}
	layers += int64(s.TopK)*s.ExpertBytes() + 4*int64(s.Experts)*int64(s.DModel)
	return layers * int64(s.Layers), size * int64(c.Vocab) * int64(c.DModel)
}

// BenchmarkText times resident decode, at a short and a longer past, and prefill.
func BenchmarkText(b *testing.B) {
	be := open(b, Options{})
	m := benchModel(b, be)
	bank := newTextBank(b, be, m)
	cfg := moe.TextConfig{Run: moe.RunConfig{Mode: moe.Baseline, MaxTokens: 512}, Context: 4096}
	if be.device.Info().Kind == "CPU" {
		cfg.Run.MaxTokens, cfg.Context = 32, 256
	}
	r := newText(b, be, m, bank, cfg).(*textRunner)
	for _, past := range []int{8, cfg.Context / 2} {
		b.Run(fmt.Sprintf("phase=decode/past=%d", past), func(b *testing.B) { benchDecode(b, r, m, past) })
	}
	b.Run(fmt.Sprintf("phase=prefill/tokens=%d", cfg.Run.MaxTokens), func(b *testing.B) {
		ids := benchIDs(cfg.Run.MaxTokens, m.Config().Vocab)
		logits := make([]float32, m.Config().Vocab)
		benchForward(b, r, 0, &moe.TextBatch{IDs: ids, Logits: logits})
	})
	b.Run("pieces", func(b *testing.B) { benchPieces(b, r) })
}

func benchIDs(n, vocab int) []int32 {
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = int32((i*7919 + 13) % vocab)
	}
	return ids
}

// benchForward repeats a batch at one position until the device is hot and reports the
// median times.
func benchForward(b *testing.B, r *textRunner, position int, batch *moe.TextBatch) (wall float64) {
	b.Helper()
	var walls, computes []float64
	for b.Loop() {
		for start := time.Now(); len(walls) < 20; {
			r.text.position = position
			times, err := r.Forward(b.Context(), batch)
			if err != nil {
				b.Fatal(err)
			}
			if time.Since(start) > hot {
				walls = append(walls, times.Wall.Seconds())
				computes = append(computes, times.Compute.Seconds())
			}
		}
	}
	slices.Sort(walls)
	slices.Sort(computes)
	wall = walls[len(walls)/2]
	b.ReportMetric(wall*1e3, "ms")
	b.ReportMetric(computes[len(walls)/2]*1e3, "device-ms")
	b.ReportMetric(float64(len(batch.IDs))/wall, "tok/s")
	return wall
}

func benchDecode(b *testing.B, r *textRunner, m moe.TextModel, past int) {
	r.Reset()
	for ids := range slices.Chunk(benchIDs(past, m.Config().Vocab), r.cfg.MaxTokens) {
		if _, err := r.Forward(b.Context(), &moe.TextBatch{IDs: ids}); err != nil {
			b.Fatal(err)
		}
	}
	batch := &moe.TextBatch{
		IDs: []int32{5}, Phase: pager.Decode, Logits: make([]float32, m.Config().Vocab),
	}
	wall := benchForward(b, r, past, batch)
	layers, head := activeBytes(m)
	b.ReportMetric(float64(layers+head)/wall/1e9, "weight-GB/s")
	b.ReportMetric(float64(r.runner.token.together), "workgroups")
}

// benchPieces times the parts of a decoded token on the device, each for all layers.
func benchPieces(b *testing.B, r *textRunner) {
	x := r.text
	s := &x.sizes
	x.position = s.context / 2 // that benchDecode has filled
	x.begin(&moe.TextBatch{IDs: []int32{5}, Logits: make([]float32, s.Vocab)})
	defer func() { x.position, x.batch = 0, nil }()
	step := &moe.Batch{Tokens: 1, Phase: pager.Decode}
	layers := func(record func(c *vk.Commands, l int)) func(*vk.Commands) {
		return func(c *vk.Commands) {
			x.planned = true
			for l := range s.Layers {
				record(c, l)
				c.DispatchBarrier()
			}
			x.planned = false
		}
	}
	op := func(at int) func(*vk.Commands) {
		return layers(func(c *vk.Commands, l int) {
			i := 1 + textOps*l + at
			x.runner.token.record(c, i, i+1, x.push(step))
		})
	}
	pieces := []struct {
		name   string
		record func(*vk.Commands)
	}{
		{"barrier", layers(func(*vk.Commands, int) {})},
		{"full-barrier", layers(func(c *vk.Commands, _ int) { c.Barrier() })},
		{"qkv", op(0)},
		{"attention", op(1)},
		{"out", op(2)},
		{"route", op(3)},
		{"up", op(4)},
		{"down", op(5)},
		{"experts", layers(func(c *vk.Commands, l int) { x.recordPlanned(c, step, l) })},
		{"layer", layers(func(c *vk.Commands, l int) {
			x.recordRouter(c, step, l)
			x.recordPlanned(c, step, l)
		})},
		{"all", func(c *vk.Commands) { x.recordResident(c, step) }},
		{"head", func(c *vk.Commands) {
			first, last := x.headOps()
			x.runner.token.record(c, first, last, x.push(step))
			c.Barrier()
		}},
	}
	for b.Loop() {
		for _, p := range pieces {
			var times []float64
			for start := time.Now(); len(times) < 12; {
				x.times = moe.StepTimes{}
				if err := x.runNow(b.Context(), p.record); err != nil {
					b.Fatal(err)
				}
				if time.Since(start) > hot {
					times = append(times, x.times.Compute.Seconds())
				}
			}
			slices.Sort(times)
			b.ReportMetric(times[len(times)/2]*1e6/float64(s.Layers), p.name+"-µs/layer")
		}
	}
}
