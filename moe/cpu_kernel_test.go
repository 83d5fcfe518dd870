package moe

import (
	"fmt"
	"math"
	"testing"

	"ufm/internal/kernel"
	"ufm/pager"
)

// eachKernel runs a test with all kernels that this machine can run.
func eachKernel(t *testing.T, f func(t *testing.T, set *kernel.Set)) {
	for _, set := range kernel.Available() {
		t.Run(set.Name, func(t *testing.T) { f(t, set) })
	}
}

// run does steps of one batch in cfg's mode on the CPU and returns the last, captured.
func run(t *testing.T, m Model, threads int, cfg RunConfig, b Batch, steps int) (*Batch, Runner) {
	t.Helper()
	return runWith(t, kernel.Best(), m, threads, cfg, b, steps)
}

// runWith is run with kernels of choice.
func runWith(t *testing.T, kernels *kernel.Set, m Model, threads int, cfg RunConfig, b Batch,
	steps int) (*Batch, Runner) {
	t.Helper()
	return runOn(t, kernels, newTestBank(t, m), threads, cfg, b, steps)
}

func newTestBank(t *testing.T, m Model) Bank {
	t.Helper()
	bank, err := NewCPU(CPUOptions{}).NewBank(t.Context(), m, nil)
	if err != nil {
		t.Fatal(err)
	}
	return bank
}

// runOn is runWith on a bank that several runs share.
func runOn(t *testing.T, kernels *kernel.Set, bank Bank, threads int, cfg RunConfig, b Batch,
	steps int) (*Batch, Runner) {
	t.Helper()
	backend := NewCPU(CPUOptions{Threads: threads})
	backend.(*cpuBackend).kernels = kernels
	m := bank.Model()
	cfg.Shape, cfg.MaxTokens = m.Shape(), b.Tokens
	r, err := backend.NewRunner(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Attach(t.Context(), bank); err != nil {
		t.Fatal(err)
	}
	b.Capture = newCapture(m.Shape(), b.Tokens)
	for b.Step = range steps {
		times, err := r.Step(t.Context(), &b)
		if err != nil {
			t.Fatal(err)
		}
		if !times.Timed || times.Wall <= 0 || times.Compute <= 0 || times.Compute > times.Wall {
			t.Errorf("times of a step: got %+v", times)
		}
	}
	return &b, r
}

func newCapture(s Shape, tokens int) *Capture {
	values, chosen := s.Layers*tokens*s.DModel, s.Layers*tokens*s.TopK
	return &Capture{
		Input: make([]float32, values), Output: make([]float32, values),
		Experts: make([]uint32, chosen), Weights: make([]float32, chosen),
	}
}

// TestCPUAgainstReference covers both sides of every boundary of the kernels: padding
// to 8, blocks of 32 and tiles of 256 outputs, one row and many.
func TestCPUAgainstReference(t *testing.T) {
	for _, c := range []struct {
		shape  Shape
		tokens int
	}{
		{Shape{Layers: 1, Experts: 1, DModel: 1, DHidden: 1, TopK: 1}, 1},
		{Shape{Layers: 2, Experts: 3, DModel: 7, DHidden: 13, TopK: 2}, 1},
		{Shape{Layers: 2, Experts: 4, DModel: 33, DHidden: 65, TopK: 4}, 5},
		{Shape{Layers: 1, Experts: 5, DModel: 64, DHidden: 32, TopK: 3, NormTopK: true}, 20},
		{Shape{Layers: 3, Experts: 6, DModel: 129, DHidden: 127, TopK: 2, NormTopK: true}, 9},
		{Shape{Layers: 1, Experts: 2, DModel: 40, DHidden: 600, TopK: 1}, 70},
	} {
		for form := GELU; form <= SwiGLU; form++ {
			for dtype := F32; dtype <= BF16; dtype++ {
				s := c.shape
				s.Form, s.DType = form, dtype
				name := fmt.Sprintf("%s/%s/%dx%d/tokens=%d", form, dtype, s.DModel, s.DHidden, c.tokens)
				m := newTestModel(t, s)
				b := Batch{Tokens: c.tokens, Input: SyntheticInput(c.tokens, s.DModel, 3)}
				t.Run(name, func(t *testing.T) {
					eachKernel(t, func(t *testing.T, set *kernel.Set) {
						got, _ := runWith(t, set, m, 2, RunConfig{Mode: UFM, Slots: 2}, b, 1)
						verify(t, m, got)
					})
				})
			}
		}
	}
}

// verify checks a captured step against the float64 reference.
func verify(t *testing.T, m Model, b *Batch) VerifyResult {
	t.Helper()
	v, err := Verify(t.Context(), m, b)
	if err != nil {
		t.Fatal(err)
	}
	if v.NMSE > 1e-12 || v.TokenNMSE > 1e-11 {
		t.Errorf("difference from the reference: got %+v, want NMSE <= 1e-12, by token <= 1e-11", v)
	}
	if v.NMSE == 0 && len(b.Input) > 10 {
		t.Error("no difference at all from the reference: nothing was compared")
	}
	return v
}

// TestCPUGivenRouting checks the path where ids replace the router's choice.
func TestCPUGivenRouting(t *testing.T) {
	s := Shape{Layers: 2, Experts: 6, DModel: 24, DHidden: 16, TopK: 2}
	m := newTestModel(t, s)
	b := Batch{Tokens: 3, Input: SyntheticInput(3, s.DModel, 3),
		Routing: []uint32{5, 0, 1, 5, 5, 4, 0, 1, 2, 3, 4, 5}}
	got, _ := run(t, m, 2, RunConfig{Mode: Published, Slots: 3}, b, 1)
	for i, want := range b.Routing {
		if got.Capture.Experts[i] != want {
			t.Fatalf("experts: got %v, want %v", got.Capture.Experts, b.Routing)
		}
	}
	for i := 0; i < len(got.Capture.Weights); i += 2 {
		if sum := got.Capture.Weights[i] + got.Capture.Weights[i+1]; math.Abs(float64(sum)-1) > 1e-6 {
			t.Errorf("weights of pair %d: got sum %g, want 1", i/2, sum)
		}
	}
	verify(t, m, got)
}

// TestCPUPerLayer gives each layer an input of its own.
func TestCPUPerLayer(t *testing.T) {
	s := Shape{Layers: 3, Experts: 4, DModel: 10, DHidden: 12, TopK: 2, Form: SwiGLU}
	m := newTestModel(t, s)
	input := SyntheticInput(3*2, s.DModel, 3) // (layers, tokens, d_model)
	got, _ := run(t, m, 1, RunConfig{Mode: Baseline},
		Batch{Tokens: 2, Input: input, PerLayer: true}, 2)
	for i, want := range input {
		if got.Capture.Input[i] != want {
			t.Fatalf("input %d: got %g, want %g", i, got.Capture.Input[i], want)
		}
	}
	verify(t, m, got)
}

// TestGroup checks that rows are sorted by expert, in the order of tokens.
func TestGroup(t *testing.T) {
	s := Shape{Layers: 2, Experts: 5, DModel: 8, DHidden: 8, TopK: 2}
	x := newCPUExperts(s, 4, 1, kernel.Best())
	group := x.group(1, []uint32{4, 0, 0, 2, 4, 2}, nil)
	if fmt.Sprint(group) != "[5 7 9]" {
		t.Errorf("group: got %v, want [5 7 9]", group)
	}
	for e, want := range map[pager.ExpertID]string{
		5: "[1 2] [0 1]", 6: "[] []", 7: "[3 5] [1 2]", 8: "[] []", 9: "[0 4] [0 2]",
	} {
		first, rows := x.rows(e)
		if got := fmt.Sprint(x.pairs[first:][:rows], " ", x.tokens[first:][:rows]); got != want {
			t.Errorf("rows of expert %d: got %s, want %s", e, got, want)
		}
	}
}

// TestTileWidth wants wide tiles, but enough of them and not too many rows in one.
func TestTileWidth(t *testing.T) {
	for _, c := range []struct{ out, experts, rows, workers, want int }{
		{8192, 8, 4, 2, 1024},
		{2048, 8, 4, 2, 1024},
		{2048, 2, 1, 2, 512},
		{2048, 2, 1, 16, 256},
		{8192, 8, 64, 2, 1024},
		{8192, 8, 65, 2, 512},
		{8192, 8, 5000, 2, 256},
		{8, 1, 1, 1, 256},
	} {
		if got := tileWidth(c.out, c.experts, c.rows, c.workers); got != c.want {
			t.Errorf("%+v: got %d", c, got)
		}
	}
}

// TestPoison checks that a slot filled with NaN cannot go unnoticed, in any storage
// type: every output that reads it is NaN.
func TestPoison(t *testing.T) {
	eachKernel(t, func(t *testing.T, set *kernel.Set) {
		for s := range testShapes {
			data := make([]byte, s.ExpertBytes())
			fillNaN(data)
			x := newCPUExperts(s, 1, 1, set)
			group := x.group(0, []uint32{2}, nil)
			x.gather(group, make([]float32, x.layout.In))
			x.compute([]resident{{expert: group[0], data: data}})
			for i, v := range x.result[:s.DModel] {
				if v == v {
					t.Errorf("%s %s: output %d of a poisoned expert: got %g, want NaN",
						s.Form, s.DType, i, v)
				}
			}
		}
	})
}
