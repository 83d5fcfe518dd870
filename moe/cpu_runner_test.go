package moe

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"

	"ufm/internal/kernel"
	"ufm/pager"
)

// TestCPUSameBits runs every mode, policy and budget, slots poisoned before every
// upload: not one bit may differ. A policy does not see which kernels run, so that the
// fastest ones go through all of its budgets and the others through one.
func TestCPUSameBits(t *testing.T) { eachKernel(t, testCPUSameBits) }

func testCPUSameBits(t *testing.T, set *kernel.Set) {
	const tokens, steps = 5, 3
	for form, dtype := range map[Form]DType{GELU: F32, SwiGLU: BF16} {
		s := Shape{Layers: 3, Experts: 8, DModel: 40, DHidden: 72, TopK: 3, Form: form, DType: dtype}
		m := newTestModel(t, s)
		b := Batch{Tokens: tokens, Input: SyntheticInput(tokens, s.DModel, 9)}
		bank := newTestBank(t, m)
		want, _ := runOn(t, set, bank, 1, RunConfig{Mode: Baseline}, b, steps)
		verify(t, m, want)
		same := func(threads int, cfg RunConfig) {
			t.Helper()
			got, _ := runOn(t, set, bank, threads, cfg, b, steps)
			name := fmt.Sprintf("%s, %s, %d slots, %d threads", dtype, cfg.Mode, cfg.Slots, threads)
			if cfg.Policy != nil {
				name += ", " + cfg.Policy.Name()
			}
			sameBits(t, name, got.Capture.Output, want.Capture.Output)
		}
		same(2, RunConfig{Mode: Naive, Poison: true})
		same(2, RunConfig{Mode: Baseline, Poison: true})
		for _, slots := range []int{1, 2, 3, 7, 8, 16, 23, 24, 99} {
			same(2, RunConfig{Mode: Published, Slots: slots, Poison: true})
			same(1, RunConfig{Mode: UFM, Slots: slots, Poison: true})
			if set.Name != kernel.Best().Name && slots != 7 {
				continue
			}
			for _, name := range pager.PolicyNames() {
				p, err := pager.NewPolicy(name, s.Paging(), slots)
				if err != nil {
					t.Fatal(err)
				}
				same(2, RunConfig{Mode: UFM, Slots: slots, Policy: p, Poison: true})
			}
		}
	}
}

// TestCPUThreads has enough work for several workers, whose number must not show.
func TestCPUThreads(t *testing.T) { eachKernel(t, testCPUThreads) }

func testCPUThreads(t *testing.T, set *kernel.Set) {
	s := Shape{Layers: 2, Experts: 6, DModel: 72, DHidden: 270, TopK: 2}
	m := newTestModel(t, s)
	b := Batch{Tokens: 40, Input: SyntheticInput(40, s.DModel, 9)}
	want, _ := runWith(t, set, m, 1, RunConfig{Mode: Baseline}, b, 1)
	for _, threads := range []int{2, 3, 7} {
		for _, mode := range []Mode{Baseline, Published, UFM} {
			got, r := runWith(t, set, m, threads, RunConfig{Mode: mode, Slots: 3, Poison: true}, b, 1)
			if n := len(r.(*cpuRunner).experts.crew(40 * 2 * 72 * 270)); n != threads {
				t.Fatalf("%d threads: %d workers for all rows, want all", threads, n)
			}
			sameBits(t, fmt.Sprintf("%s, %d threads", mode, threads),
				got.Capture.Output, want.Capture.Output)
		}
	}
}

func sameBits(t *testing.T, name string, got, want []float32) {
	t.Helper()
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Fatalf("%s: output %d: got %g, want %g", name, i, got[i], want[i])
		}
	}
}

// TestCPUCounts checks statistics, bytes moved and events of each mode on two steps
// that use all 8 experts of each of 2 layers.
func TestCPUCounts(t *testing.T) {
	s := Shape{Layers: 2, Experts: 8, DModel: 8, DHidden: 8, TopK: 8}
	m := newTestModel(t, s)
	for _, c := range []struct {
		mode                  Mode
		slots                 int
		hits, misses, uploads int64
		moved                 int64 // experts
	}{
		{Baseline, 0, 32, 0, 0, 16},
		{Naive, 0, 0, 32, 32, 64},
		{Published, 8, 0, 32, 32, 32},
		{Published, 16, 16, 16, 16, 16},
		{UFM, 16, 16, 16, 16, 16},
	} {
		var events, hits, misses int64
		cfg := RunConfig{Mode: c.mode, Slots: c.slots, Observe: func(ev *pager.Event) {
			if int64(ev.Seq) != events || ev.Step != int(events)/2 || ev.Layer != int(events)%2 {
				t.Errorf("%s: event %d: got %+v", c.mode, events, ev)
			}
			events++
			hits += int64(len(ev.Hits))
			misses += int64(len(ev.Misses))
		}}
		_, r := run(t, m, 2, cfg, Batch{Tokens: 1, Input: SyntheticInput(1, 8, 1)}, 2)
		st := r.Stats()
		if st.Hits != c.hits || st.Misses != c.misses || st.Uploads != c.uploads ||
			st.Accesses != 32 || st.Groups != 4 {
			t.Errorf("%s: got %+v, want %+v", c.mode, st, c)
		}
		if events != 4 || hits != c.hits || misses != c.misses {
			t.Errorf("%s: got %d events with %d hits, %d misses, want 4 with %d, %d",
				c.mode, events, hits, misses, c.hits, c.misses)
		}
		if got := r.Moved() / s.ExpertBytes(); got != c.moved {
			t.Errorf("%s: got %d experts moved, want %d", c.mode, got, c.moved)
		}
	}
}

func TestCPUBadConfig(t *testing.T) {
	s := Shape{Layers: 1, Experts: 4, DModel: 8, DHidden: 8, TopK: 2}
	for name, cfg := range map[string]RunConfig{
		"shape":       {Mode: Baseline, MaxTokens: 1},
		"no slots":    {Shape: s, Mode: UFM, MaxTokens: 1},
		"no tokens":   {Shape: s, Mode: Naive},
		"many tokens": {Shape: s, Mode: Naive, MaxTokens: 1 << 31},
		"mode":        {Shape: s, Mode: UFM + 1, Slots: 1, MaxTokens: 1},
	} {
		if _, err := NewCPU(CPUOptions{}).NewRunner(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestCPUBadBatch checks that a wrong batch is refused and does no harm.
func TestCPUBadBatch(t *testing.T) {
	s := Shape{Layers: 2, Experts: 4, DModel: 8, DHidden: 8, TopK: 2}
	m, b := newTestModel(t, s), NewCPU(CPUOptions{})
	r, err := b.NewRunner(RunConfig{Shape: s, Mode: UFM, Slots: 1, MaxTokens: 2})
	if err != nil {
		t.Fatal(err)
	}
	bank, err := b.NewBank(t.Context(), m, nil)
	if err != nil {
		t.Fatal(err)
	}
	x := SyntheticInput(2, 8, 1)
	good := &Batch{Tokens: 2, Input: x}
	if _, err := r.Step(t.Context(), good); err == nil {
		t.Error("step before Attach: no error")
	}
	s.NormTopK = true
	other, err := b.NewBank(t.Context(), newTestModel(t, s), nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.Attach(t.Context(), other) == nil {
		t.Error("bank of another shape: no error")
	}
	if err := r.Attach(t.Context(), bank); err != nil {
		t.Fatal(err)
	}
	if r.Attach(t.Context(), bank) == nil {
		t.Error("second Attach: no error")
	}
	for name, bad := range map[string]*Batch{
		"no tokens":       {},
		"no input yet":    {Tokens: 2},
		"too many tokens": {Tokens: 3, Input: make([]float32, 24)},
		"short input":     {Tokens: 2, Input: x[1:]},
		"per layer":       {Tokens: 2, Input: x, PerLayer: true},
		"short routing":   {Tokens: 2, Input: x, Routing: []uint32{0, 1, 2, 3}},
		"unknown expert":  {Tokens: 2, Input: x, Routing: []uint32{0, 1, 2, 3, 0, 1, 2, 4}},
		"expert twice":    {Tokens: 2, Input: x, Routing: []uint32{0, 1, 2, 3, 0, 1, 2, 2}},
		"short capture":   {Tokens: 2, Input: x, Capture: &Capture{Output: make([]float32, 31)}},
	} {
		if _, err := r.Step(t.Context(), bad); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Step(ctx, good); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
	if _, err := r.Step(t.Context(), good); err != nil {
		t.Errorf("a good step after bad ones: %v", err)
	}
	if _, err := r.Step(t.Context(), &Batch{Tokens: 1, Input: x[:8]}); err != nil {
		t.Errorf("a smaller step: %v", err)
	}
}

// TestCPUInputOfAllLayers: the input that a step brings for each layer counts against the
// limit, and one that does not fit does no harm.
func TestCPUInputOfAllLayers(t *testing.T) {
	const tokens = 50
	s := Shape{Layers: 9, Experts: 4, DModel: 64, DHidden: 8, TopK: 1}
	cfg := RunConfig{Shape: s, Mode: UFM, Slots: 4, MaxTokens: tokens}
	need := 4*s.ExpertBytes() + int64(workBytes(cfg, 1))
	more := int64(4 * (s.Layers - 1) * tokens * s.DModel)
	all := &Batch{Tokens: tokens, PerLayer: true, Input: SyntheticInput(s.Layers*tokens, s.DModel, 1)}
	one := &Batch{Tokens: tokens, Input: all.Input[:tokens*s.DModel]}
	for _, limit := range []int64{need + more, need + more - 1} {
		b := NewCPU(CPUOptions{Threads: 1, MemoryLimit: limit})
		bank, err := b.NewBank(t.Context(), newTestModel(t, s), nil)
		if err != nil {
			t.Fatal(err)
		}
		r, err := b.NewRunner(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Attach(t.Context(), bank); err != nil {
			t.Fatal(err)
		}
		_, err = r.Step(t.Context(), all)
		var oom *OutOfMemoryError
		if fits := limit == need+more; fits && err != nil ||
			!fits && (!errors.As(err, &oom) || oom.Requested != more || oom.Free != more-1) {
			t.Errorf("limit %d: got %v, need %d and %d more", limit, err, need, more)
		}
		if _, err := r.Step(t.Context(), one); err != nil {
			t.Errorf("limit %d: a smaller step: %v", limit, err)
		}
		if got := b.WorkBytes(s, tokens); got != need+more-4*s.ExpertBytes() {
			t.Errorf("announced %d bytes, want %d", got, need+more-4*s.ExpertBytes())
		}
		if err := errors.Join(r.Close(), bank.Close()); err != nil {
			t.Error(err)
		}
		if used := b.(*cpuBackend).used; used != 0 {
			t.Errorf("%d bytes are left booked", used)
		}
	}
}

// TestCPUMeasure expects plausible ceilings.
func TestCPUMeasure(t *testing.T) {
	b := NewCPU(CPUOptions{}).(*cpuBackend)
	c, err := b.measure(t.Context(), 1<<20, true) // in a cache, but quick
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string]float64{
		"read": c.ReadGBs, "link": c.LinkGBs, "f32": c.F32TFlops * 1000,
	} {
		if v < 0.001 || v > 1e5 { // one core of a busy machine reads 0.04 under the race detector
			t.Errorf("%s: got %g billion a second", name, v)
		}
	}
	if n := len(c.Link); n != 3 { // 64 KiB to all of it
		t.Errorf("got %d sizes of copies, want 3", n)
	}
	for i, r := range c.Link {
		if want := int64(64<<10) << (2 * i); r.Bytes != want {
			t.Errorf("size %d: got %d bytes, want %d", i, r.Bytes, want)
		}
		for _, v := range []float64{r.UpGBs, r.OneQueueGBs, r.BusyGBs, r.DownGBs} {
			if v < 0.01 || v > 1e5 {
				t.Errorf("copies of %d bytes: got %+v", r.Bytes, r)
			}
		}
	}
	if d := b.Device(); d.Name == "" || !d.Unified {
		t.Errorf("device: got %+v", d)
	}
	t.Logf("%+v", c)
}
