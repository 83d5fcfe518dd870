package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// hashStep and hashFactor are those of the hash in package moe.
const (
	hashStep   = 0x9e3779b97f4a7c15
	hashFactor = 0xd6e8feb86659fd93
)

// uniform generates weights: (a, b) of each output, the inputs of a pair, are the halves of a
// hash as signed integers of 24 bits, times scale. A vector has quads hashes.
type uniform struct {
	name  string
	quads int
	vec   func() VecVirtual
}

var uniforms = []uniform{
	{"AVX512", 8, func() VecVirtual { return ZMM() }},
	{"AVX2", 4, func() VecVirtual { return YMM() }},
}

// generate writes two vectors of hashes at a time: groups of 2 · quads outputs.
func (u uniform) generate(s storage) {
	name := "uniform" + string(s) + u.name
	if s == f32 {
		TEXT(name, NOSPLIT, "func(even, odd *byte, groups int, counter uint64, scale float32)")
	} else {
		TEXT(name, NOSPLIT, "func(row *byte, groups int, counter uint64, scale float32)")
	}
	Doc(name + " writes weights of a pair of inputs, as kernel.Uniform.")
	var rows []Register
	if s == f32 {
		rows = []Register{Load(Param("even"), GP64()), Load(Param("odd"), GP64())}
	} else {
		rows = []Register{Load(Param("row"), GP64())}
	}
	groups := Load(Param("groups"), GP64())
	start, x := Load(Param("counter"), GP64()), XMM()
	VMOVQ(start, x)
	one := Load(Param("scale"), XMM())
	scale, factor, stride, order := u.vec(), u.vec(), u.vec(), u.vec()
	VBROADCASTSS(one, scale)
	u.load(quads("hashFactors", hashFactor, 0), factor)
	u.load(quads("hashStride"+u.name, steps(2*u.quads), 0), stride)
	if u.quads == 8 && s == f32 {
		u.load(evenThenOddQuads(), order)
	}
	first, second := u.vec(), u.vec()
	VPBROADCASTQ(x, first)
	VPADDQ(quads("hashSteps"+u.name, steps(u.quads), hashStep), first, second)
	VPADDQ(quads("hashSteps", 0, hashStep), first, first)

	Label("next")
	a, b := u.floats(u.hash(first, factor), scale), u.floats(u.hash(second, factor), scale)
	u.store(s, rows, a, b, order)
	VPADDQ(stride, first, first)
	VPADDQ(stride, second, second)
	for _, r := range rows {
		ADDQ(Imm(uint64(8*u.quads)), r)
	}
	DECQ(groups)
	JNZ(LabelRef("next"))
	VZEROUPPER()
	RET()
}

func (u uniform) load(from Mem, to VecVirtual) {
	if u.quads == 8 {
		VMOVDQU64(from, to)
	} else {
		VMOVDQU(from, to)
	}
}

func (u uniform) xor(a, b, to VecVirtual) {
	if u.quads == 8 {
		VPXORQ(a, b, to)
	} else {
		VPXOR(a, b, to)
	}
}

// hash is mix64 of package moe for each counter.
func (u uniform) hash(counters, factor VecVirtual) VecVirtual {
	z, t := u.vec(), u.vec()
	VPSRLQ(Imm(32), counters, t)
	u.xor(counters, t, z)
	for range 2 {
		u.multiply(z, factor)
		VPSRLQ(Imm(32), z, t)
		u.xor(t, z, z)
	}
	return z
}

// multiply is z · factor in 64 bits. AVX2 has products of 32 bits only; that of the upper
// halves is lost anyway.
func (u uniform) multiply(z, factor VecVirtual) {
	if u.quads == 8 {
		VPMULLQ(factor, z, z)
		return
	}
	t, v := YMM(), YMM()
	VPSRLQ(Imm(32), z, t)
	VPMULUDQ(factor, t, t)
	VPMULUDQ(quads("hashFactorHigh", hashFactor>>32, 0), z, v)
	VPADDQ(t, v, t)
	VPSLLQ(Imm(32), t, t)
	VPMULUDQ(factor, z, z)
	VPADDQ(t, z, z)
}

// floats makes two weights of each hash, in place.
func (u uniform) floats(z, scale VecVirtual) VecVirtual {
	VPSRAD(Imm(8), z, z)
	VCVTDQ2PS(z, z)
	VMULPS(scale, z, z)
	return z
}

// store writes the weights of the outputs in a and in b, which follow those.
func (u uniform) store(s storage, rows []Register, a, b, order VecVirtual) {
	switch s {
	case f32:
		for i, which := range []uint64{0x88, 0xdd} {
			v := u.vec()
			VSHUFPS(Imm(which), b, a, v)
			if u.quads == 8 {
				VPERMQ(v, order, v)
			} else {
				VPERMQ(Imm(0xd8), v, v) // 0, 2, 1, 3
			}
			VMOVUPS(v, Mem{Base: rows[i]})
		}
	case f16:
		for i, v := range []VecVirtual{a, b} {
			VCVTPS2PH(Imm(0), v, Mem{Base: rows[0]}.Offset(4*u.quads*i))
		}
	default:
		for i, v := range []VecVirtual{a, b} { // to nearest, ties to even
			odd := u.vec()
			VPSLLD(Imm(15), v, odd)
			VPSRLD(Imm(31), odd, odd)
			VPADDD(v, odd, v)
			VPADDD(quads("half", 0x7fff_00007fff, 0), v, v)
			VPSRLD(Imm(16), v, v)
			if u.quads == 8 {
				VPMOVDW(v, Mem{Base: rows[0]}.Offset(4*u.quads*i))
			}
		}
		if u.quads == 4 {
			VPACKUSDW(b, a, a)
			VPERMQ(Imm(0xd8), a, a)
			VMOVDQU(a, Mem{Base: rows[0]})
		}
	}
}

// steps is n steps of the hash's counter, which wraps around.
func steps(n int) uint64 {
	step := uint64(hashStep)
	return uint64(n) * step
}

// quads are eight integers of 64 bits, each step more than the one before.
func quads(name string, first, step uint64) Mem {
	m, ok := constants[name]
	if !ok {
		m = GLOBL(name, NOPTR|RODATA)
		for i := range 8 {
			DATA(8*i, U64(first+uint64(i)*step))
		}
		constants[name] = m
	}
	return m
}

// evenThenOddQuads undoes what a shuffle within 128 bits leaves.
func evenThenOddQuads() Mem {
	m := GLOBL("evenThenOddQuads", NOPTR|RODATA)
	for i := range 8 {
		DATA(8*i, U64(2*(i%4)+i/4))
	}
	return m
}
