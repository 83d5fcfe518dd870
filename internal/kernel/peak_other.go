//go:build !amd64 || purego

package kernel

// peakOfMany does nothing: there is no assembly for this machine.
func peakOfMany(values []float32) (n int, p Peak) { return 0, none }
