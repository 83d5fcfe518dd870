package moe

import (
	"slices"
	"testing"
)

// TestCPURepeatedInput gives batches without an input after one that had it and
// whose memory was then used for something else.
func TestCPURepeatedInput(t *testing.T) {
	s := Shape{Layers: 2, Experts: 4, DModel: 10, DHidden: 12, TopK: 2}
	m := newTestModel(t, s)
	for _, perLayer := range []bool{false, true} {
		b := Batch{Tokens: 2, PerLayer: perLayer, Input: SyntheticInput(2, s.DModel, 5)}
		if perLayer {
			b.Input = SyntheticInput(2*2, s.DModel, 5) // (layers, tokens, d_model)
		}
		first, r := run(t, m, 1, RunConfig{Mode: Baseline}, b, 1)
		want := slices.Clone(first.Capture.Output)
		clear(b.Input)
		for step := range 2 {
			again := &Batch{Step: step, Tokens: 2, PerLayer: perLayer, Capture: newCapture(s, 2)}
			if _, err := r.Step(t.Context(), again); err != nil {
				t.Fatal(err)
			}
			sameBits(t, "repeated input", again.Capture.Output, want)
		}
		if _, err := r.Step(t.Context(), &Batch{Tokens: 1, PerLayer: perLayer}); err == nil {
			t.Errorf("per layer %t: 1 token repeats the input of 2: no error", perLayer)
		}
		if _, err := r.Step(t.Context(), &Batch{Tokens: 2, PerLayer: !perLayer}); err == nil {
			t.Errorf("per layer %t: repeated otherwise: no error", perLayer)
		}
	}
}

func TestBatchValidate(t *testing.T) {
	cfg := RunConfig{Shape: Shape{Layers: 2, Experts: 4, DModel: 8, DHidden: 8, TopK: 2}, MaxTokens: 2}
	for name, c := range map[string]struct {
		batch Batch
		last  int
		good  bool
	}{
		"input":            {Batch{Tokens: 2, Input: make([]float32, 16)}, 0, true},
		"repeated":         {Batch{Tokens: 2}, 16, true},
		"repeated by all":  {Batch{Tokens: 1, PerLayer: true}, 16, true},
		"nothing earlier":  {Batch{Tokens: 2}, 0, false},
		"another earlier":  {Batch{Tokens: 1}, 16, false},
		"empty, not nil":   {Batch{Tokens: 2, Input: []float32{}}, 16, false},
		"too many tokens":  {Batch{Tokens: 3, Input: make([]float32, 24)}, 0, false},
		"short for layers": {Batch{Tokens: 2, Input: make([]float32, 16), PerLayer: true}, 0, false},
	} {
		if err := c.batch.Validate(cfg, c.last); (err == nil) != c.good {
			t.Errorf("%s: got %v, want it accepted: %t", name, err, c.good)
		}
	}
}
