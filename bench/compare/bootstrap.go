package compare

import (
	"math"
	"math/rand/v2"
	"slices"
)

const (
	resamples  = 2000
	confidence = 0.95
	// fewest is how many steps it takes to say anything of their spread.
	fewest = 5
)

// Interval is where the ratio of medians a / b lies with 95 % confidence, by a bootstrap
// over blocks of neighbouring steps: clocks and caches make neighbours alike, and single
// draws would take that for precision. Too few steps tell nothing.
func Interval(a, b []float64) (low, high float64, ok bool) {
	if len(a) < fewest || len(b) < fewest {
		return 0, 0, false
	}
	rng := rand.New(rand.NewPCG(1, 0)) // the same folders give the same interval
	ratios := make([]float64, resamples)
	bufferA, bufferB := make([]float64, len(a)), make([]float64, len(b))
	for i := range ratios {
		ratios[i] = resampledMedian(rng, a, bufferA) / resampledMedian(rng, b, bufferB)
	}
	slices.Sort(ratios)
	tail := (1 - confidence) / 2
	return ratios[int(tail*resamples)], ratios[int((1-tail)*resamples)-1], true
}

// resampledMedian is the median of as many values, drawn in blocks of about the cube
// root of their number (Künsch's moving blocks; around the end they go on at the start).
func resampledMedian(rng *rand.Rand, from, buffer []float64) float64 {
	block := int(math.Ceil(math.Cbrt(float64(len(from)))))
	for i := 0; i < len(buffer); i += block {
		start := rng.IntN(len(from))
		for j := i; j < min(i+block, len(buffer)); j++ {
			buffer[j] = from[(start+j-i)%len(from)]
		}
	}
	slices.Sort(buffer)
	middle := len(buffer) / 2
	if len(buffer)%2 == 1 {
		return buffer[middle]
	}
	return (buffer[middle-1] + buffer[middle]) / 2
}
