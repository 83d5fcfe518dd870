//go:build !amd64 || purego

package kernel

// Uniform does nothing: there is no assembly for this machine.
func Uniform(s Storage, even, odd []byte, counter uint64, scale float32) int { return 0 }
