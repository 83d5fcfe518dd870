package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestPeakOf: vectors and plain code agree on every length, and wherever the extreme stands.
func TestPeakOf(t *testing.T) {
	negative := float32(math.Copysign(0, -1))
	odd := []float32{
		0, negative, 1e-45, -1e-45, math.MaxFloat32, -math.MaxFloat32,
		float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()), -float32(math.NaN()),
	}
	rng := rand.New(rand.NewPCG(1, 0))
	for n := range 200 {
		values := make([]float32, n)
		for i := range values {
			values[i] = -float32(rng.ExpFloat64()) // all below 0
		}
		for _, v := range odd {
			at := 0
			if n > 0 {
				at = rng.IntN(n)
				values[at] = v
			}
			if got, want := PeakOf(values), plainPeak(values); got != want {
				t.Fatalf("%d values, %g at %d: got %+v, want %+v", n, v, at, got, want)
			}
			highest, finite := math.Inf(-1), true
			for _, v := range values {
				highest = max(highest, float64(v))
				finite = finite && v-v == 0
			}
			p := PeakOf(values)
			if finite != (p.Largest < Infinite) {
				t.Fatalf("%d values, %g at %d: largest %#x", n, v, at, p.Largest)
			}
			got := math.Float32frombits(uint32(Ordered(uint32(p.Highest))))
			if n > 0 && finite && float64(got) != highest {
				t.Fatalf("%d values, %g at %d: highest %g, want %g", n, v, at, got, highest)
			}
			if n > 0 {
				values[at] = -1
			}
		}
	}
}

func BenchmarkPeakOf(b *testing.B) {
	values := make([]float32, 151936)
	for i := range values {
		values[i] = float32(rand.NormFloat64())
	}
	b.SetBytes(int64(4 * len(values)))
	for b.Loop() {
		PeakOf(values)
	}
}
