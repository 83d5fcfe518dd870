package vk

import (
	"math"
	"math/bits"
)

// scaleTicks turns ticks of a device's clock into nanoseconds. It computes in fixed point:
// a float64 would lose the lowest digits of a clock that has run for months.
func scaleTicks(ticks []uint64, periodNs float64) {
	const fraction = 24
	scale := uint64(math.Round(periodNs * (1 << fraction)))
	for i, t := range ticks {
		high, low := bits.Mul64(t, scale)
		ticks[i] = high<<(64-fraction) | low>>fraction
	}
}
