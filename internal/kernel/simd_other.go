//go:build !amd64 || purego

package kernel

// simd lists nothing: there is no assembly for this machine.
func simd() []*Set { return nil }
