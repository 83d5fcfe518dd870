//go:build cgo && linux

package vulkan

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"ufm/moe"
	"ufm/pager"
	"ufm/vk"
)

// open opens the device of UFM_DEVICE (any by default) under the validation of
// UFM_VALIDATION. Banks are held as UFM_BANK says.
func open(t testing.TB, o Options) *backend {
	t.Helper()
	o.Device, o.Validation = os.Getenv("UFM_DEVICE"), os.Getenv("UFM_VALIDATION")
	if hold, err := ParseHold(os.Getenv("UFM_BANK")); err != nil {
		t.Fatal(err)
	} else if o.Bank == Best {
		o.Bank = hold
	}
	b, err := Open(o)
	if errors.Is(err, vk.ErrNoLoader) || errors.Is(err, vk.ErrNoDevice) {
		if os.Getenv("UFM_VULKAN") == "required" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	before, _ := vk.ValidationMessages()
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		if n, text := vk.ValidationMessages(); n > before {
			t.Errorf("validation: %d messages: %s", n-before, text)
		}
	})
	return b.(*backend)
}

// rig is a bank of a synthetic model and the input of its steps.
type rig struct {
	backend *backend
	bank    moe.Bank
	shape   moe.Shape
	tokens  int
	input   []float32
	routing []uint32
}

func newRig(t testing.TB, b *backend, s moe.Shape, tokens int) *rig {
	t.Helper()
	m, err := moe.NewSynthetic(s, 3)
	if err != nil {
		t.Fatal(err)
	}
	bank, err := b.NewBank(t.Context(), m, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := bank.Close(); err != nil {
			t.Error(err)
		}
	})
	return &rig{backend: b, bank: bank, shape: s, tokens: tokens,
		input: moe.SyntheticInput(tokens, s.DModel, 5)}
}

func newCapture(s moe.Shape, tokens int) *moe.Capture {
	states, choices := s.Layers*tokens*s.DModel, s.Layers*tokens*s.TopK
	return &moe.Capture{
		Input: make([]float32, states), Output: make([]float32, states),
		Experts: make([]uint32, choices), Weights: make([]float32, choices),
	}
}

// run does a few steps and returns the last one, captured.
func (g *rig) run(t *testing.T, cfg moe.RunConfig, steps int) *moe.Batch {
	t.Helper()
	cfg.Shape, cfg.MaxTokens = g.shape, g.tokens
	r, err := g.backend.NewRunner(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := r.Attach(t.Context(), g.bank); err != nil {
		t.Fatal(err)
	}
	b := &moe.Batch{
		Tokens: g.tokens, Input: g.input, Routing: g.routing, Capture: newCapture(g.shape, g.tokens),
	}
	for b.Step = range steps {
		if _, err := r.Step(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// TestAgainstReference compares every kernel with float64 over shapes that are not
// multiples of anything, all forms and storage types, and row counts of every class.
func TestAgainstReference(t *testing.T) {
	b := open(t, Options{})
	shapes := []struct {
		shape  moe.Shape
		tokens int
	}{
		{moe.Shape{Layers: 1, Experts: 1, DModel: 1, DHidden: 1, TopK: 1}, 1},
		{moe.Shape{Layers: 2, Experts: 3, DModel: 7, DHidden: 13, TopK: 2}, 1},
		{moe.Shape{Layers: 2, Experts: 5, DModel: 36, DHidden: 130, TopK: 3, NormTopK: true}, 7},
		{moe.Shape{Layers: 1, Experts: 4, DModel: 64, DHidden: 40, TopK: 4}, 3},
		{moe.Shape{Layers: 1, Experts: 2, DModel: 264, DHidden: 72, TopK: 1}, 45},
	}
	if os.Getenv("UFM_VALIDATION") == "gpu" {
		shapes = shapes[1:3] // every kernel still; instrumented ones take a second each to compile
	}
	for _, s := range shapes {
		for form := moe.GELU; form <= moe.SwiGLU; form++ {
			for dtype := moe.F32; dtype <= moe.BF16; dtype++ {
				shape := s.shape
				shape.Form, shape.DType = form, dtype
				t.Run(fmt.Sprintf("%s/%s/%dx%d/tokens=%d", form, dtype, shape.DModel,
					shape.DHidden, s.tokens), func(t *testing.T) {
					g := newRig(t, b, shape, s.tokens)
					c := g.run(t, moe.RunConfig{Mode: moe.UFM, Slots: 2}, 1)
					verify(t, g, c)
				})
			}
		}
	}
}

// verify checks a captured step against the float64 reference.
func verify(t *testing.T, g *rig, b *moe.Batch) {
	t.Helper()
	v, err := moe.Verify(t.Context(), g.bank.Model(), b)
	if err != nil {
		t.Fatal(err)
	}
	if !(v.NMSE <= 1e-11) {
		t.Errorf("NMSE: got %g, want at most 1e-11", v.NMSE)
	}
}

// TestGivenRouting checks the path where ids replace the router's choice.
func TestGivenRouting(t *testing.T) {
	b := open(t, Options{})
	g := newRig(t, b, moe.Shape{Layers: 2, Experts: 6, DModel: 32, DHidden: 48, TopK: 2}, 3)
	g.routing = []uint32{5, 0, 1, 5, 5, 4, 0, 1, 2, 3, 4, 5}
	c := g.run(t, moe.RunConfig{Mode: moe.UFM, Slots: 3}, 1)
	if !slices.Equal(c.Capture.Experts, g.routing) {
		t.Errorf("experts: got %v, want %v", c.Capture.Experts, g.routing)
	}
	verify(t, g, c)
}

// TestSameBits runs every mode, policy and budget, with one queue and with as many as
// the device has, slots poisoned before every upload: not one bit may differ.
func TestSameBits(t *testing.T) {
	shape := moe.Shape{Layers: 3, Experts: 8, DModel: 40, DHidden: 56, TopK: 3, Form: moe.SwiGLU, DType: moe.BF16}
	const tokens, steps = 5, 4
	for _, single := range []bool{false, true} {
		b := open(t, Options{SingleQueue: single})
		g := newRig(t, b, shape, tokens)
		want := g.run(t, moe.RunConfig{Mode: moe.Baseline}, steps)
		verify(t, g, want)
		for _, slots := range []int{1, 2, 3, 7, 8, 16, 23, 24} {
			for _, policy := range append(pager.PolicyNames(), "") {
				if policy == "belady" {
					continue // needs the future
				}
				cfg := moe.RunConfig{Mode: moe.UFM, Slots: slots, Poison: true}
				if policy != "" {
					var err error
					if cfg.Policy, err = pager.NewPolicy(policy, shape.Paging(), slots); err != nil {
						t.Fatal(err)
					}
				}
				same(t, fmt.Sprintf("ufm, single %v, %d slots, policy %q", single, slots, policy),
					g.run(t, cfg, steps), want)
			}
			same(t, fmt.Sprintf("published, %d slots", slots),
				g.run(t, moe.RunConfig{Mode: moe.Published, Slots: slots, Poison: true}, steps), want)
		}
		same(t, "naive", g.run(t, moe.RunConfig{Mode: moe.Naive}, steps), want)
	}
}

// TestSameBitsOfOneToken does so for steps of one token, which has kernels of its own, with its
// ops in dispatches of their own and in one.
func TestSameBitsOfOneToken(t *testing.T) {
	shape := moe.Shape{Layers: 3, Experts: 8, DModel: 40, DHidden: 56, TopK: 3, Form: moe.SwiGLU, DType: moe.BF16}
	const steps = 4
	b := open(t, Options{})
	together := together(b)
	g := newRig(t, b, shape, 1)
	b.together = apart
	want := g.run(t, moe.RunConfig{Mode: moe.Baseline}, steps)
	verify(t, g, want)
	for _, n := range []int{apart, together} {
		b.together = n
		for _, cfg := range []moe.RunConfig{
			{Mode: moe.Baseline},
			{Mode: moe.UFM, Slots: 1, Poison: true},
			{Mode: moe.UFM, Slots: 9, Poison: true},
			{Mode: moe.UFM, Slots: 24, Poison: true},
			{Mode: moe.Published, Slots: 9, Poison: true},
			{Mode: moe.Naive},
		} {
			same(t, fmt.Sprintf("%v, %d slots, %d workgroups", cfg.Mode, cfg.Slots, n),
				g.run(t, cfg, steps), want)
		}
	}
	b.together = apart
	left := g.left(t, 1, true)
	for _, n := range []int{apart, together} { // nothing is captured: all ops in one go
		b.together = n
		for _, most := range []int{1, 3} { // tokens of a step
			if got := g.left(t, most, false); !slices.Equal(got, left) {
				t.Errorf("%d workgroups, at most %d tokens: other bits than of a captured step", n, most)
			}
		}
	}
}

// left is what a resident step of one token leaves as the input of the layer after the last.
func (g *rig) left(t *testing.T, most int, capture bool) []uint32 {
	t.Helper()
	r, err := g.backend.NewRunner(moe.RunConfig{Shape: g.shape, Mode: moe.Baseline, MaxTokens: most})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.Attach(t.Context(), g.bank); err != nil {
		t.Fatal(err)
	}
	step := &moe.Batch{Tokens: 1, Input: g.input}
	if capture {
		step.Capture = newCapture(g.shape, 1)
	}
	if _, err := r.Step(t.Context(), step); err != nil {
		t.Fatal(err)
	}
	x := r.(*runner)
	n := 4 * int64(x.layout.In)
	to, err := x.device.NewBuffer(vk.HostCached, n, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	if err := x.runNow(t.Context(), func(c *vk.Commands) {
		c.Copy(to, 0, x.memory.x, 0, n)
		c.Barrier()
	}); err != nil {
		t.Fatal(err)
	}
	return slices.Clone(to.Words())
}

func same(t *testing.T, name string, got, want *moe.Batch) {
	t.Helper()
	if !slices.Equal(got.Capture.Experts, want.Capture.Experts) {
		t.Errorf("%s: other experts", name)
	}
	for i, w := range want.Capture.Output {
		if g := got.Capture.Output[i]; g != w {
			t.Fatalf("%s: output %d: got %g, want %g", name, i, g, w)
		}
	}
}

// TestOutOfMemory takes more than the limit and then less.
func TestOutOfMemory(t *testing.T) {
	b := open(t, Options{MemoryLimit: 8 << 20})
	shape := moe.Shape{Layers: 1, Experts: 64, DModel: 256, DHidden: 256, TopK: 1}
	_, err := b.NewRunner(moe.RunConfig{Shape: shape, Mode: moe.Baseline, MaxTokens: 4})
	var oom *moe.OutOfMemoryError
	if !errors.As(err, &oom) {
		t.Fatalf("baseline: got %v, want out of memory", err)
	}
	if oom.Requested <= oom.Free {
		t.Errorf("requested %d, free %d: that fits", oom.Requested, oom.Free)
	}
	if !strings.Contains(oom.Error(), "limit 8 MiB; heap 0: ") {
		t.Errorf("got %q, want the limit and the heaps", oom)
	}
	r, err := b.NewRunner(moe.RunConfig{Shape: shape, Mode: moe.UFM, Slots: 4, MaxTokens: 4})
	if err != nil {
		t.Fatalf("ufm after out of memory: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// TestBadBatch checks that a wrong batch is refused and does no harm.
func TestBadBatch(t *testing.T) {
	b := open(t, Options{})
	g := newRig(t, b, moe.Shape{Layers: 1, Experts: 2, DModel: 8, DHidden: 8, TopK: 1}, 2)
	r, err := b.NewRunner(moe.RunConfig{Shape: g.shape, Mode: moe.UFM, Slots: 1, MaxTokens: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	good := moe.Batch{Tokens: 2, Input: g.input}
	if _, err := r.Step(t.Context(), &good); err == nil {
		t.Error("step before Attach: no error")
	}
	if err := r.Attach(t.Context(), g.bank); err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]moe.Batch{
		"too many tokens": {Tokens: 3, Input: make([]float32, 24)},
		"short input":     {Tokens: 2, Input: make([]float32, 15)},
		"short routing":   {Tokens: 2, Input: g.input, Routing: []uint32{0}},
		"unknown expert":  {Tokens: 2, Input: g.input, Routing: []uint32{0, 2}},
	} {
		if _, err := r.Step(t.Context(), &bad); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := r.Step(context.Background(), &good); err != nil {
		t.Errorf("a good step after bad ones: %v", err)
	}
}

// TestOutOfMemoryInOnePiece: a buffer that no device holds in one piece is out of memory,
// not an error of another kind.
func TestOutOfMemoryInOnePiece(t *testing.T) {
	b := open(t, Options{})
	most := b.device.Info().MaxAllocation
	shape := moe.Shape{Layers: 1, Experts: 2, DModel: 1 << 16, DHidden: 8, TopK: 1}
	tokens := int(most/(4*int64(shape.DModel))) + 1
	if tokens > 1<<24 {
		t.Skipf("this device takes %d bytes in one piece: too many to ask for", most)
	}
	_, err := b.NewRunner(moe.RunConfig{Shape: shape, Mode: moe.UFM, Slots: 1, MaxTokens: tokens})
	var oom *moe.OutOfMemoryError
	if !errors.As(err, &oom) || oom.Requested <= most {
		t.Errorf("steps of %d tokens: got %v, want out of memory", tokens, err)
	}
}

// TestWorkBytes sets what a runner takes besides its pool beside what it is said to take.
func TestWorkBytes(t *testing.T) {
	b := open(t, Options{})
	for _, s := range []moe.Shape{
		{Layers: 1, Experts: 2, DModel: 8, DHidden: 8, TopK: 1},
		{Layers: 7, Experts: 64, DModel: 256, DHidden: 100, TopK: 4, Form: moe.SwiGLU, DType: moe.BF16},
	} {
		for _, tokens := range []int{1, 600} {
			r, err := b.NewRunner(moe.RunConfig{Shape: s, Mode: moe.UFM, Slots: 1, MaxTokens: tokens})
			if err != nil {
				t.Fatal(err)
			}
			m := countMemory(s, tokens, b.matrices, newTuning(b.device.Info()))
			got, said := r.DeviceBytes()-s.ExpertBytes(), m.local
			pages := int64(len(r.(*runner).memory.all)) << 16 // each buffer is counted as a driver may round it up
			if err := r.Close(); err != nil {
				t.Error(err)
			}
			if got > said || got < said-pages {
				t.Errorf("%d layers, %d tokens: took %d bytes, %d were announced", s.Layers, tokens, got, said)
			}
			if b.device.Info().Unified {
				said += m.host
			}
			if got := b.WorkBytes(s, tokens); got != said {
				t.Errorf("%d layers, %d tokens: got %d bytes, want %d", s.Layers, tokens, got, said)
			}
		}
	}
}

// TestCheckShape: what the kernels cannot run is known without a runner.
func TestCheckShape(t *testing.T) {
	b := open(t, Options{})
	s := moe.Shape{Layers: 1, Experts: 1024, DModel: 8, DHidden: 8, TopK: 64}
	if err := b.CheckShape(s); err != nil {
		t.Errorf("the largest shape: %v", err)
	}
	for _, bad := range []moe.Shape{
		{Layers: 1, Experts: 1025, DModel: 8, DHidden: 8, TopK: 1},
		{Layers: 1, Experts: 1024, DModel: 8, DHidden: 8, TopK: 65},
	} {
		if err := b.CheckShape(bad); err == nil {
			t.Errorf("%d experts, top-%d: no error", bad.Experts, bad.TopK)
		}
		if _, err := b.NewRunner(moe.RunConfig{Shape: bad, Mode: moe.UFM, Slots: 1, MaxTokens: 1}); err == nil {
			t.Errorf("%d experts, top-%d: a runner", bad.Experts, bad.TopK)
		}
	}
}
