package moe

import (
	"math"
	"math/rand/v2"
	"testing"

	"ufm/pager"
)

// fixedModel is a model with weights given by hand.
type fixedModel struct {
	shape   Shape
	experts []Matrices
	gate    []float32
}

func (m *fixedModel) Name() string                              { return "fixed" }
func (m *fixedModel) Shape() Shape                              { return m.shape }
func (m *fixedModel) FillExpert(pager.ExpertID, []byte) error   { panic("not used") }
func (m *fixedModel) Expert(e pager.ExpertID) (Matrices, error) { return m.experts[e], nil }
func (m *fixedModel) Router(int) ([]float32, error)             { return m.gate, nil }
func near(got, want float64) bool                               { return math.Abs(got-want) <= 1e-12 }

// TestReferenceByHand has one-dimensional experts, whose values can be looked up.
func TestReferenceByHand(t *testing.T) {
	m := &fixedModel{
		shape: Shape{Layers: 1, Experts: 2, DModel: 1, DHidden: 1, TopK: 2},
		experts: []Matrices{
			{Up: []float32{1}, Down: []float32{1}, Gate: []float32{2}},
			{Up: []float32{-2}, Down: []float32{3}, Gate: []float32{1}},
		},
		gate: []float32{0, 1},
	}
	p := 1 / (1 + math.Exp(-1)) // of expert 1
	for form, want := range map[Form][2]float64{
		// gelu(1) and gelu(-2) in the tanh form, computed with 40 digits
		GELU: {0.84119199060827670, 3 * -0.04540230591222498},
		// silu(2)·1 and 3·silu(1)·(-2)
		SwiGLU: {2 / (1 + math.Exp(-2)), -6 / (1 + math.Exp(-1))},
	} {
		m.shape.Form = form
		r, err := Reference(m, 0, []float32{1}, ByRouter, nil)
		if err != nil {
			t.Fatal(err)
		}
		if want := p*want[1] + (1-p)*want[0]; !near(r.Output[0], want) {
			t.Errorf("%s: got %.17g, want %.17g", form, r.Output[0], want)
		}
		if r.Experts[0] != 1 || !near(r.Weights[0], p) {
			t.Errorf("%s: got expert %d with %g, want 1 with %g", form, r.Experts[0], r.Weights[0], p)
		}
	}
}

// TestReferenceChoices tells the three sources of experts apart by their weights.
func TestReferenceChoices(t *testing.T) {
	s := Shape{Layers: 1, Experts: 5, DModel: 8, DHidden: 8, TopK: 2}
	m := newTestModel(t, s)
	x := SyntheticInput(1, 8, 1)
	chosen, err := Reference(m, 0, x, ByRouter, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		choice Choice
		want   [2]float64
	}{
		{Given, [2]float64{chosen.Weights[0], chosen.Weights[1]}},
		{Replaced, [2]float64{
			chosen.Weights[0] / (chosen.Weights[0] + chosen.Weights[1]),
			chosen.Weights[1] / (chosen.Weights[0] + chosen.Weights[1]),
		}},
	} {
		r, err := Reference(m, 0, x, c.choice, chosen.Experts)
		if err != nil {
			t.Fatal(err)
		}
		if !near(r.Weights[0], c.want[0]) || !near(r.Weights[1], c.want[1]) {
			t.Errorf("choice %d: weights: got %v, want %v", c.choice, r.Weights, c.want)
		}
	}
	for name, ids := range map[string][]uint32{
		"too few": {0}, "outside": {0, 5}, "twice": {3, 3},
	} {
		if _, err := Reference(m, 0, x, Given, ids); err == nil {
			t.Errorf("ids %s: no error", name)
		}
	}
	if _, err := Reference(m, 0, x[1:], ByRouter, nil); err == nil {
		t.Error("input of 7 values for d-model 8: no error")
	}
	if _, err := Reference(m, 1, x, ByRouter, nil); err == nil {
		t.Error("layer 1 of 1: no error")
	}
}

func TestDot64(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for n := range 20 {
		w, x := make([]float32, n), make([]float64, n)
		want := 0.0
		for i := range w {
			w[i], x[i] = rng.Float32(), rng.Float64()
			want += float64(w[i]) * x[i]
		}
		if got := dot64(w, x); !near(got, want) {
			t.Errorf("%d values: got %g, want %g", n, got, want)
		}
	}
}

func TestRMSNorm(t *testing.T) {
	got := RMSNorm([]float64{3, 4})
	scale := math.Sqrt(12.5 + NormEpsilon)
	if !near(got[0], 3/scale) || !near(got[1], 4/scale) {
		t.Errorf("got %v, want %v", got, []float64{3 / scale, 4 / scale})
	}
	if got := RMSNorm([]float64{0}); got[0] != 0 {
		t.Errorf("of zero: got %v", got)
	}
}

func TestCompare(t *testing.T) {
	nan, inf := float32(math.NaN()), math.Inf(1)
	for _, c := range []struct {
		name      string
		got, want []float32
		diff      Difference
	}{
		{"equal", []float32{1, 2, 3, 4}, []float32{1, 2, 3, 4}, Difference{}},
		{"one row off", []float32{1, 1, 2, 5}, []float32{1, 1, 2, 4},
			Difference{NMSE: 1. / 22, MaxAbs: 1, TokenNMSE: 1. / 20, Token: 1}},
		{"wrong small row", []float32{1, 0, 100, 100}, []float32{1, 1, 100, 100},
			Difference{NMSE: 1. / 20002, MaxAbs: 1, TokenNMSE: 0.5, Token: 0}},
		{"not a number", []float32{1, 1, 1, nan}, []float32{1, 1, 1, 1},
			Difference{NMSE: inf, MaxAbs: inf, TokenNMSE: inf, Token: 1}},
		{"no number expected", []float32{1, 1}, []float32{nan, 1},
			Difference{NMSE: inf, MaxAbs: inf, TokenNMSE: inf}},
		{"zero expected", []float32{0, 0, 1, 0}, []float32{0, 0, 0, 0},
			Difference{NMSE: inf, MaxAbs: 1, TokenNMSE: inf, Token: 1}},
	} {
		if got := Compare(c.got, c.want, 2); got != c.diff {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.diff)
		}
	}
}
