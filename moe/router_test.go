package moe

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTopK(t *testing.T) {
	for _, c := range []struct {
		name   string
		values []float64
		k      int
		want   []uint32
	}{
		{"falling", []float64{4, 3, 2, 1}, 2, []uint32{0, 1}},
		{"rising", []float64{1, 2, 3, 4}, 2, []uint32{3, 2}},
		{"ties go to the lower index", []float64{1, 2, 2, 2}, 2, []uint32{1, 2}},
		{"all equal", []float64{5, 5, 5}, 3, []uint32{0, 1, 2}},
		{"all", []float64{1, 3, 2}, 3, []uint32{1, 2, 0}},
		{"one of one", []float64{-1}, 1, []uint32{0}},
	} {
		got := make([]uint32, c.k)
		topK(c.values, got)
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, d)
		}
	}
}

// TestTopKModel compares with a stable sort.
func TestTopKModel(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 500 {
		values := make([]float32, 1+rng.IntN(20))
		for i := range values {
			values[i] = float32(rng.IntN(6))
		}
		order := make([]uint32, len(values))
		for i := range order {
			order[i] = uint32(i)
		}
		slices.SortStableFunc(order, func(a, b uint32) int { return int(values[b] - values[a]) })
		got := make([]uint32, 1+rng.IntN(len(values)))
		topK(values, got)
		if want := order[:len(got)]; !slices.Equal(got, want) {
			t.Fatalf("top %d of %v: got %v, want %v", len(got), values, got, want)
		}
	}
}

// TestRoute uses a gate that makes logits ln(1..4) from x = (1).
func TestRoute(t *testing.T) {
	gate := make([]float32, 4) // probabilities 0.1, 0.2, 0.3, 0.4
	for e := range gate {
		gate[e] = float32(math.Log(float64(e + 1)))
	}
	for _, c := range []struct {
		name     string
		norm     bool
		replaced []uint32
		experts  []uint32
		weights  []float64
	}{
		{"as they are", false, nil, []uint32{3, 2}, []float64{0.4, 0.3}},
		{"normalised", true, nil, []uint32{3, 2}, []float64{4. / 7, 3. / 7}},
		{"replaced", false, []uint32{0, 2}, []uint32{0, 2}, []float64{0.25, 0.75}},
		{"replaced, normalised", true, []uint32{2, 0}, []uint32{2, 0}, []float64{0.75, 0.25}},
	} {
		s := Shape{Layers: 1, Experts: 4, DModel: 1, DHidden: 1, TopK: 2, NormTopK: c.norm}
		experts, weights := make([]uint32, 2), make([]float32, 2)
		Route(s, gate, []float32{1}, c.replaced, make([]float32, 4), experts, weights)
		if !slices.Equal(experts, c.experts) {
			t.Errorf("%s: experts: got %v, want %v", c.name, experts, c.experts)
		}
		for j, want := range c.weights {
			if got := float64(weights[j]); math.Abs(got-want) > 1e-6 {
				t.Errorf("%s: weight %d: got %g, want %g", c.name, j, got, want)
			}
		}
	}
}

// TestRouteLargeLogits would overflow without subtracting the maximum.
func TestRouteLargeLogits(t *testing.T) {
	s := Shape{Layers: 1, Experts: 2, DModel: 1, DHidden: 1, TopK: 1}
	experts, weights := make([]uint32, 1), make([]float32, 1)
	Route(s, []float32{1000, 999}, []float32{1}, nil, make([]float32, 2), experts, weights)
	if want := 1 / (1 + math.Exp(-1)); experts[0] != 0 || math.Abs(float64(weights[0])-want) > 1e-6 {
		t.Errorf("got expert %d with %g, want 0 with %g", experts[0], weights[0], want)
	}
}

func TestDot(t *testing.T) {
	for n := range 40 {
		a, b := make([]float32, n), make([]float32, n)
		want := float32(0)
		for i := range a {
			a[i], b[i] = float32(i+1), float32(2*i-5)
			want += a[i] * b[i] // small integers: exact in any order
		}
		if got := dot(a, b); got != want {
			t.Errorf("%d values: got %g, want %g", n, got, want)
		}
	}
}
