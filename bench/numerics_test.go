package bench

import (
	"context"
	"testing"

	"ufm/moe"
)

func TestNumerics(t *testing.T) {
	b := moe.NewCPU(moe.CPUOptions{})
	list, err := Numerics(context.Background(), b, 1)
	if err != nil {
		t.Fatal(err)
	}
	if want := 2 * 3 * 3 * len(numericTokens) * 4; len(list) != want {
		t.Errorf("got %d tensors, want %d", len(list), want)
	}
	for _, n := range list {
		if !n.OK {
			t.Errorf("not within tolerance: %+v", n)
		}
	}
}

// A value that is off, or another choice, is found in its tensor and nowhere before it.
func TestNumericsFindsDifferences(t *testing.T) {
	s := moe.Shape{Layers: 2, Experts: 6, DModel: 16, DHidden: 24, TopK: 2}
	model, err := moe.NewSynthetic(s, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		tensor string
		spoil  func(c *moe.Capture)
	}{
		{"", func(*moe.Capture) {}},
		{"input", func(c *moe.Capture) { c.Input[3] += 1e-3 }},
		{"experts", func(c *moe.Capture) { c.Experts[0], c.Experts[1] = c.Experts[1], c.Experts[0] }},
		{"weights", func(c *moe.Capture) { c.Weights[1] *= 1.0001 }},
		{"output", func(c *moe.Capture) { c.Output[7] *= 1.001 }},
	} {
		b := newNumericBatch(s, 0, 4, 1)
		fillCapture(t, model, b)
		c.spoil(b.Capture)
		list, err := compareLayer(model, b, 0)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, n := range list {
			if !n.OK && got == "" {
				got = n.Tensor
			}
		}
		if got != c.tensor {
			t.Errorf("spoilt %q, found %q: %+v", c.tensor, got, list)
		}
	}
}

// fillCapture runs a batch on the CPU.
func fillCapture(t *testing.T, m moe.Model, b *moe.Batch) {
	t.Helper()
	ctx, backend := context.Background(), moe.NewCPU(moe.CPUOptions{})
	r, err := backend.NewRunner(moe.RunConfig{
		Shape: m.Shape(), Mode: moe.Baseline, Slots: 12, MaxTokens: b.Tokens,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	bank, err := backend.NewBank(ctx, m, nil)
	if err == nil {
		err = r.Attach(ctx, bank)
	}
	if err == nil {
		_, err = r.Step(ctx, b)
	}
	if err != nil {
		t.Fatal(err)
	}
}
