//go:build !purego

package kernel

import "golang.org/x/sys/cpu"

var hasUniform = cpu.X86.HasAVX2 && cpu.X86.HasF16C

// Uniform writes as many of the first weights of two inputs as this machine's vectors make
// at a time, and returns for how many outputs it did; 0 where there is no assembly for it.
// Output n has the hash of counter + n·step, of package moe, and its weights are scale times
// the two signed integers of 24 bits at the top of the hash's halves. F32 writes the first
// input's to even and the second's to odd, the others both in turn to even, rounded to
// nearest, ties to even. There are len(even)/4 outputs.
func Uniform(s Storage, even, odd []byte, counter uint64, scale float32) int {
	groups := len(even) / (4 * Group)
	if groups == 0 || !hasUniform {
		return 0
	}
	switch s {
	case F32:
		uniformF32AVX2(&even[0], &odd[:len(even)][0], groups, counter, scale)
	case F16:
		uniformF16AVX2(&even[0], groups, counter, scale)
	default:
		uniformBF16AVX2(&even[0], groups, counter, scale)
	}
	return groups * Group
}
