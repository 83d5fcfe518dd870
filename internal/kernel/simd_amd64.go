//go:build !purego

package kernel

import "golang.org/x/sys/cpu"

// simd lists what this processor can run, the fastest first.
func simd() []*Set {
	avx2 := cpu.X86.HasAVX2 && cpu.X86.HasFMA && cpu.X86.HasF16C
	avx512 := avx2 && cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512VL
	var sets []*Set
	if avx512 {
		sets = append(sets, assembled("avx512",
			[...]product{productF32AVX512, productF16AVX512, productBF16AVX512}))
	}
	if avx2 {
		sets = append(sets, assembled("avx2",
			[...]product{productF32AVX2, productF16AVX2, productBF16AVX2}))
	}
	return sets
}

// product adds outputs of rows × a matrix to acc, whose rows are accStride bytes apart. w
// is the tile's first weight, and stride the bytes from one of its rows to the next: of
// one input, or of a pair in 16 bits. x is (groups, rows, 8). cols is a multiple of 8.
type product func(acc *float32, w *byte, x *float32, rows, groups, cols, stride, accStride int)

// assembled is a set of assembly functions; products are by Storage.
func assembled(name string, products [3]product) *Set {
	return &Set{
		Name: name,
		multiply: func(acc []float32, m Matrix, n, width int, x []float32, rows int) {
			products[m.Storage](&acc[0], &m.Data[4*n], &x[0],
				rows, m.In/Group, width, 4*m.Out, 4*Stride(width))
		},
		gelu: func(dst, up []float32, rows, width int) {
			if rows > 0 {
				geluAVX2(&dst[0], &up[0], rows, width/Group, 4*Stride(width))
			}
		},
		swiglu: func(dst, gate, up []float32, rows, width int) {
			if rows > 0 {
				swigluAVX2(&dst[0], &gate[0], &up[0], rows, width/Group, 4*Stride(width))
			}
		},
	}
}
