package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// avx2 works on 8 outputs at a time, of which none is ever missing.
type avx2 struct{}

func (avx2) name() string { return "AVX2" }

func (avx2) lanes() int { return 8 }

func (avx2) prepare(storage) {}

func (avx2) column(Register) {}

func (avx2) load(s storage, from Mem) []VecVirtual {
	switch even, odd := YMM(), YMM(); s {
	case f16:
		// Within each half: even words down, odd words up; then the quarters in order.
		VMOVDQU(from, even)
		VPSHUFB(evenThenOdd256(), even, even)
		VPERMQ(Imm(0b11_01_10_00), even, even)
		high := XMM()
		VEXTRACTI128(Imm(1), even, high)
		VCVTPH2PS(even.AsX(), even)
		VCVTPH2PS(high, odd)
		return []VecVirtual{even, odd}
	case bf16:
		VMOVDQU(from, odd)
		VPSLLD(Imm(16), odd, even)
		VPSRLD(Imm(16), odd, odd)
		VPSLLD(Imm(16), odd, odd)
		return []VecVirtual{even, odd}
	default:
		VMOVUPS(from, even)
		return []VecVirtual{even}
	}
}

func (avx2) products(acc, x Mem, w []VecVirtual) {
	sum := YMM()
	VBROADCASTSS(x, sum)
	VMULPS(w[0], sum, sum)
	for i := 1; i < group; i++ {
		input := YMM()
		VBROADCASTSS(x.Offset(4*i), input)
		VFMADD231PS(input, w[i], sum)
	}
	VADDPS(acc, sum, sum)
	VMOVUPS(sum, acc)
}

// evenThenOdd256 is the permutation of bytes that takes pairs of words apart, in each
// half of a register.
func evenThenOdd256() Mem {
	if evenThenOddBytes.Base == nil {
		evenThenOddBytes = GLOBL("evenThenOdd256", NOPTR|RODATA)
		for i := range 32 {
			word := i % 16 / 2
			DATA(i, U8(2*(2*(word%4)+word/4)+i%2))
		}
	}
	return evenThenOddBytes
}

var evenThenOddBytes Mem
