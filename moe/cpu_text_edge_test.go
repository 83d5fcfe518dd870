package moe

import (
	"context"
	"errors"
	"os"
	"runtime"
	"strconv"
	"testing"

	"ufm/internal/kernel"
	"ufm/moe/tiny"
	"ufm/pager"
)

func TestCPUTextBadConfig(t *testing.T) {
	m := smallText(t, "mixtral-8x7b", F32, nil)
	other := m.Shape()
	other.TopK = 1
	run := RunConfig{Shape: m.Shape(), Mode: UFM, Slots: 2, MaxTokens: 4}
	for name, test := range map[string]struct {
		change func(*TextConfig)
		want   string
	}{
		"shape":         {func(c *TextConfig) { c.Run.Shape = other }, "does not fit small"},
		"mode":          {func(c *TextConfig) { c.Run.Mode = Published }, "baseline or ufm, not published"},
		"no slots":      {func(c *TextConfig) { c.Run.Slots = 0 }, "at least 1 is needed"},
		"no context":    {func(c *TextConfig) { c.Context = 0 }, "context of 0 tokens"},
		"huge context":  {func(c *TextConfig) { c.Context = 1 << 30 }, "out of device memory"},
		"larger still":  {func(c *TextConfig) { c.Context = 1 << 40 }, "context of 1099511627776 tokens"},
		"logits":        {func(c *TextConfig) { c.Logits = 5 }, "logits of 5 tokens"},
		"no room at 1M": {func(c *TextConfig) { c.Context = 1 << 20 }, "out of device memory"},
	} {
		b := NewCPU(CPUOptions{MemoryLimit: 64 << 20})
		cfg := TextConfig{Run: run, Context: 16}
		test.change(&cfg)
		r, err := b.(TextBackend).NewTextRunner(cfg, m)
		if r != nil {
			t.Errorf("%s: got a runner", name)
		}
		t.Run(name, func(t *testing.T) { wantErrorWith(t, err, test.want) })
		if used := b.(*cpuBackend).used; used != 0 {
			t.Errorf("%s: %d bytes are still booked", name, used)
		}
	}
}

// TestCPUTextMemory adds up the memory table, and gives everything back.
func TestCPUTextMemory(t *testing.T) {
	m := smallText(t, "qwen3-30b-a3b", BF16, nil)
	b := newTestCPU(2, kernel.Best())
	cfg := TextConfig{Run: RunConfig{Shape: m.Shape(), Mode: UFM, Slots: 3, MaxTokens: 4}, Context: 16}
	r := newText(t, b, m, cfg)
	sum := 3 * m.Shape().ExpertBytes()
	for _, part := range b.TextMemory(cfg, m) {
		if part.Bytes < 1 {
			t.Errorf("%s: got %d bytes", part.What, part.Bytes)
		}
		sum += part.Bytes
	}
	if got := r.DeviceBytes(); got-sum > 3 || got < sum { // each part is rounded down
		t.Errorf("device bytes: got %d, want the table's sum, %d", got, sum)
	}
	for range 2 {
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if b := b.(*cpuBackend); b.used != 0 || b.pledged != 0 {
		t.Errorf("after close %d bytes are still booked, %d pledged", b.used, b.pledged)
	}
	if _, err := r.Forward(t.Context(), &TextBatch{IDs: []int32{1}}); err == nil {
		t.Error("forward after close: no error")
	}
}

func TestCPUTextForeignBank(t *testing.T) {
	m, other := smallText(t, "mixtral-8x7b", F32, nil), smallText(t, "mixtral-8x7b", F32, nil)
	b := newTestCPU(1, kernel.Best())
	r, err := b.NewTextRunner(TextConfig{Run: RunConfig{Shape: m.Shape(), Mode: Baseline, MaxTokens: 1},
		Context: 2}, m)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Forward(t.Context(), &TextBatch{IDs: []int32{1}}); err == nil {
		t.Error("forward without a bank: no error")
	}
	bank, err := b.NewBank(t.Context(), other, nil)
	if err != nil {
		t.Fatal(err)
	}
	wantErrorWith(t, r.Attach(t.Context(), bank), "bank of model small")
	if pledged := b.(*cpuBackend).pledged; pledged != int64(denseBytes(m)) {
		t.Errorf("got %d bytes pledged to weights, want %d", pledged, int64(denseBytes(m)))
	}
}

// TestCPUTextInterrupted cancels a batch in each layer; what is repeated comes out as if
// nothing had happened.
func TestCPUTextInterrupted(t *testing.T) {
	m := smallText(t, "qwen3-30b-a3b", BF16, nil)
	vocab, ids := m.Config().Vocab, []int32{5, 6, 7, 8, 9, 10}
	cfg := TextConfig{Run: RunConfig{Mode: UFM, Slots: 5, MaxTokens: 6, Poison: true},
		Context: 6, Logits: 6, Prefetch: true}
	want := forward(t, newText(t, newTestCPU(1, kernel.Best()), m, cfg), vocab, ids, 6)
	for stop := range 3 * m.Config().Layers {
		ctx, cancel := context.WithCancel(t.Context())
		groups := 0
		cfg.Run.Observe = func(*pager.Event) {
			if groups == stop {
				cancel()
			}
			groups++
		}
		r := newText(t, newTestCPU(2, kernel.Best()), m, cfg)
		got := make([]float32, len(want))
		for r.Position() < len(ids) {
			at := r.Position()
			_, err := r.Forward(ctx, &TextBatch{IDs: ids[at : at+2], Logits: got[at*vocab:][:2*vocab]})
			switch {
			case errors.Is(err, context.Canceled):
				ctx = t.Context()
			case err != nil:
				t.Fatal(err)
			}
		}
		cancel()
		sameBits(t, "interrupted in group "+strconv.Itoa(stop), got, want)
	}
}

// TestCPUTextReplacedRouting replaces the routers' choice by what they would choose anyway, by
// something else, and reads predictions.
func TestCPUTextReplacedRouting(t *testing.T) {
	m := openText(t, tiny.Name)
	s, vocab := m.Shape(), m.Config().Vocab
	ids, _ := recordedLogits(t, tiny.Name)
	ids = ids[:12]
	n := s.Layers * len(ids) * s.TopK
	cfg := TextConfig{Run: RunConfig{Mode: UFM, Slots: 20, MaxTokens: 12}, Context: 12, Logits: 12}
	step := func(b TextBatch) []float32 {
		t.Helper()
		b.IDs, b.Logits = ids, make([]float32, 12*vocab)
		if _, err := newText(t, newTestCPU(2, kernel.Best()), m, cfg).Forward(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
		return b.Logits
	}
	own, weights, predicted := make([]uint32, n), make([]float32, n), make([]uint32, n)
	want := step(TextBatch{Experts: own, Weights: weights, Predicted: predicted})

	replaced, again := make([]uint32, n), make([]float32, n)
	got := step(TextBatch{Routing: own, Experts: replaced, Weights: again})
	// softmax(all) scaled to 1 is softmax(chosen) but for rounding
	if d := Compare(got, want, vocab); d.TokenNMSE > 1e-10 {
		t.Errorf("the routers' own choice given: got %+v, want NMSE <= 1e-10", d)
	}
	hits := 0
	for i, e := range own {
		if replaced[i] != e || again[i] <= 0 || again[i] > 1 {
			t.Fatalf("choice %d: got expert %d with weight %g, want expert %d", i, replaced[i], again[i], e)
		}
		if first := i < len(ids)*s.TopK; first != (predicted[i] == NoPrediction) {
			t.Fatalf("prediction %d: got %d, want none in layer 0 only", i, predicted[i])
		}
		if predicted[i] == e {
			hits++
		}
	}
	if hits < n/8 {
		t.Errorf("%d of %d predictions are right to the place: is that the next layer's gate?", hits, n)
	}
	other := make([]uint32, n)
	for i := range other {
		other[i] = uint32(i % s.TopK)
	}
	if d := Compare(step(TextBatch{Routing: other}), want, vocab); d.NMSE < 1e-3 {
		t.Errorf("another choice: got NMSE %g from the routers' own, want a difference", d.NMSE)
	}
}

// TestCPUTextMemoryStaysFlat decodes tokens, one sequence after the other, and compares
// the heap. UFM_TOKENS sets how many.
func TestCPUTextMemoryStaysFlat(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector has memory of its own")
	}
	tokens := 2000
	if text := os.Getenv("UFM_TOKENS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 2000 {
			t.Fatalf("UFM_TOKENS is %q, want a number from 2000", text)
		}
		tokens = n
	}
	m := openText(t, tiny.Name)
	r := newText(t, newTestCPU(2, kernel.Best()), m, TextConfig{
		Run:     RunConfig{Mode: UFM, Slots: m.Shape().Paging().Universe() / 4, MaxTokens: 1},
		Context: 128, Prefetch: true})
	device := r.DeviceBytes()
	id, logits := []int32{1}, make([]float32, m.Config().Vocab)
	var early uint64
	for i := range tokens {
		if r.Position() == 128 {
			r.Reset()
		}
		b := TextBatch{Step: i, Phase: pager.Decode, IDs: id, Logits: logits}
		if _, err := r.Forward(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
		for j, v := range logits {
			if v > logits[id[0]] {
				id[0] = int32(j)
			}
		}
		if (i+1)%7 == 0 {
			id[0] = int32(i % len(logits)) // leave the beaten track
		}
		if i == 1000 {
			early = heap()
		}
	}
	if late := heap(); late > early+64<<10 {
		t.Errorf("heap grew from %d to %d bytes over %d tokens", early, late, tokens-1000)
	}
	if got := r.DeviceBytes(); got != device {
		t.Errorf("device bytes: got %d, want %d as at the start", got, device)
	}
	t.Logf("%d tokens, heap %d bytes after 1000 and %d at the end", tokens, early, heap())
}

// heap is what is in use once nothing is left to collect.
func heap() uint64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
