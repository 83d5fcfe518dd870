//go:build !purego

package kernel

import "golang.org/x/sys/cpu"

// uniform is a way to make weights of so many outputs at a time.
type uniform struct {
	outputs int
	f32     func(even, odd *byte, groups int, counter uint64, scale float32)
	f16     func(row *byte, groups int, counter uint64, scale float32)
	bf16    func(row *byte, groups int, counter uint64, scale float32)
}

// bestUniform is the fastest for this processor; with 0 outputs there is none.
var bestUniform = func() uniform {
	x := cpu.X86
	switch {
	case x.HasAVX512F && x.HasAVX512DQ:
		return uniform{16, uniformF32AVX512, uniformF16AVX512, uniformBF16AVX512}
	case x.HasAVX2 && x.HasF16C:
		return uniform{8, uniformF32AVX2, uniformF16AVX2, uniformBF16AVX2}
	}
	return uniform{}
}()

// Uniform writes as many of the first weights of two inputs as this machine's vectors make
// at a time, and returns for how many outputs it did; 0 where there is no assembly for it.
// Output n has the hash of counter + n·step, of package moe, and its weights are scale times
// the two signed integers of 24 bits at the top of the hash's halves. F32 writes the first
// input's to even and the second's to odd, the others both in turn to even, rounded to
// nearest, ties to even. There are len(even)/4 outputs.
func Uniform(s Storage, even, odd []byte, counter uint64, scale float32) int {
	return bestUniform.fill(s, even, odd, counter, scale)
}

func (u uniform) fill(s Storage, even, odd []byte, counter uint64, scale float32) int {
	groups := len(even) / 4 / max(u.outputs, 1)
	if groups == 0 || u.outputs == 0 {
		return 0
	}
	switch s {
	case F32:
		u.f32(&even[0], &odd[:len(even)][0], groups, counter, scale)
	case F16:
		u.f16(&even[0], groups, counter, scale)
	default:
		u.bf16(&even[0], groups, counter, scale)
	}
	return groups * u.outputs
}
