//go:build !purego

package kernel

import "golang.org/x/sys/cpu"

// peakOfMany finds the peak of as many of the first values as vectors take at a time.
func peakOfMany(values []float32) (n int, p Peak) {
	const group = 32
	groups := len(values) / group
	if p = none; groups == 0 || !cpu.X86.HasAVX2 {
		return 0, p
	}
	var highest [8]int32
	var largest [8]uint32
	peakAVX2(&values[0], groups, &highest, &largest)
	for i := range highest {
		p = p.and(Peak{highest[i], largest[i]})
	}
	return groups * group, p
}
