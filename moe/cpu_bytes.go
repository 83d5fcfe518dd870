package moe

import "math"

// WorkBytes has an input for each layer, as recorded activations need it.
func (b *cpuBackend) WorkBytes(s Shape, tokens int) int64 {
	work := workBytes(RunConfig{Shape: s, MaxTokens: tokens}, b.threads)
	inputs := 4 * float64(s.Layers-1) * float64(tokens) * float64(s.DModel)
	return int64(min(work+inputs, math.MaxInt64/2))
}
