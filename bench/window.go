package bench

import (
	"slices"
	"time"

	"ufm/moe"
	"ufm/pager"
)

// window is what was seen of the measured steps.
type window struct {
	steps []moe.StepTimes
	stats pager.Stats // counted within the window
	moved int64       // bytes of experts, both ways
	peak  int64       // bytes of device memory so far
	nvml  *int64      // the same as NVIDIA's driver counts it; nil: unknown
}

// times are the wall times of the steps in milliseconds, ascending.
func (w *window) times() []float64 {
	ms := w.inOrder()
	slices.Sort(ms)
	return ms
}

// inOrder are the wall times in milliseconds as the steps ran.
func (w *window) inOrder() []float64 {
	ms := make([]float64, len(w.steps))
	for i, s := range w.steps {
		ms[i] = milliseconds(s.Wall)
	}
	return ms
}

// total adds up the steps. It is timed only if every step is.
func (w *window) total() moe.StepTimes {
	sum := moe.StepTimes{Timed: true}
	for _, s := range w.steps {
		sum.Wall += s.Wall
		sum.Timed = sum.Timed && s.Timed
		sum.Compute += s.Compute
		sum.Upload += s.Upload
		sum.Stall += s.Stall
		sum.Submits += s.Submits
		sum.Waits += s.Waits
	}
	return sum
}

// quantile interpolates between the two nearest of sorted values.
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	i := int(at)
	if i+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
