package vulkan

import (
	"cmp"
	"slices"
)

// span is a time in which a queue was at work, in nanoseconds of the device's clock.
type span struct{ begin, end uint64 }

// union merges spans that overlap, in place.
func union(spans []span) []span {
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.begin, b.begin) })
	n := 0
	for _, s := range spans {
		if n > 0 && s.begin <= spans[n-1].end {
			spans[n-1].end = max(spans[n-1].end, s.end)
			continue
		}
		spans[n] = s
		n++
	}
	return spans[:n]
}

// overlap is how much of the time from begin to end lies in the spans.
func overlap(spans []span, begin, end uint64) (sum uint64) {
	for _, s := range spans {
		if from, to := max(s.begin, begin), min(s.end, end); to > from {
			sum += to - from
		}
	}
	return sum
}
