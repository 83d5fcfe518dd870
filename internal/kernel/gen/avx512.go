package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// avx512 works on 16 outputs at a time. Of the last column 8 may be missing, which
// must not be read: the matrix may end there.
type avx512 struct{}

func (avx512) name() string { return "AVX512" }

func (avx512) lanes() int { return 16 }

func (avx512) prepare(s storage) {
	if s == f16 {
		VMOVDQU64(evenThenOdd512(), Z31)
	}
}

// column sets the mask K1 of the outputs that are there.
func (avx512) column(left Register) {
	all, half := GP32(), GP32()
	MOVL(U32(0xffff), all)
	MOVL(U32(0x00ff), half)
	CMPQ(left, Imm(16))
	CMOVLLT(half, all)
	KMOVW(all, K1)
}

func (avx512) load(s storage, from Mem) []VecVirtual {
	switch even, odd := ZMM(), ZMM(); s {
	case f16:
		high := YMM()
		VMOVDQU32_Z(from, K1, even)
		VPERMW(even, Z31, even)
		VEXTRACTI64X4(Imm(1), even, high)
		VCVTPH2PS(even.AsY(), even)
		VCVTPH2PS(high, odd)
		return []VecVirtual{even, odd}
	case bf16:
		VMOVDQU32_Z(from, K1, odd)
		VPSLLD(Imm(16), odd, even)
		VPSRLD(Imm(16), odd, odd)
		VPSLLD(Imm(16), odd, odd)
		return []VecVirtual{even, odd}
	default:
		VMOVUPS_Z(from, K1, even)
		return []VecVirtual{even}
	}
}

func (avx512) products(acc, x Mem, w []VecVirtual) {
	sum := ZMM()
	VMULPS_BCST(x, w[0], sum)
	for i := 1; i < group; i++ {
		VFMADD231PS_BCST(x.Offset(4*i), w[i], sum)
	}
	VADDPS(acc, sum, sum)
	VMOVUPS(sum, acc)
}

// evenThenOdd512 is the permutation of 16-bit words that takes pairs apart.
func evenThenOdd512() Mem {
	words := GLOBL("evenThenOdd512", NOPTR|RODATA)
	for i := range 32 {
		DATA(2*i, U16(2*(i%16)+i/16))
	}
	return words
}
