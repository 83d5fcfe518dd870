package kernel

import "math"

// Peak is what is extreme among some values.
type Peak struct {
	Highest int32  // value, as Ordered has it
	Largest uint32 // absolute value, as its bits: Infinite or more where a value is not finite
}

// Infinite is the bits of the least absolute value that is not finite.
const Infinite = 0x7f800000

// none is the peak of no values.
var none = Peak{Highest: math.MinInt32}

// Ordered turns the bits of a float32 into an integer of the same order, and back. It tells -0
// from 0, which PeakOf does not.
func Ordered(bits uint32) int32 {
	i := int32(bits)
	return i ^ int32(uint32(i>>31)>>1)
}

// PeakOf finds the extremes of values. It takes 32 at a time where the processor has AVX2.
func PeakOf(values []float32) Peak {
	n, p := peakOfMany(values)
	return p.and(plainPeak(values[n:]))
}

func (p Peak) and(o Peak) Peak {
	return Peak{max(p.Highest, o.Highest), max(p.Largest, o.Largest)}
}

// plainPeak takes a value at a time, in two lanes without a branch for each.
func plainPeak(values []float32) Peak {
	a, b := none, none
	for ; len(values) >= 2; values = values[2:] {
		a, b = a.and(peakOf(values[0])), b.and(peakOf(values[1]))
	}
	for _, v := range values {
		a = a.and(peakOf(v))
	}
	return a.and(b)
}

func peakOf(v float32) Peak {
	const sign = 1 << 31
	bits := math.Float32bits(v + 0) // no -0
	return Peak{Ordered(bits), bits &^ sign}
}
