//go:build !cgo || !linux

package bench

// processMemory is unknown: NVIDIA's library is reached through cgo.
func processMemory() *int64 { return nil }
