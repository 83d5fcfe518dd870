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

// generateUniform writes weights of eight outputs at a time: (a, b) of each, the inputs of a
// pair, are the halves of a hash as signed integers of 24 bits, times scale.
func generateUniform(s storage) {
	if s == f32 {
		TEXT("uniformF32AVX2", NOSPLIT, "func(even, odd *byte, groups int, counter uint64, scale float32)")
		Doc("uniformF32AVX2 writes weights of eight outputs a group, those of two inputs apart.")
	} else {
		TEXT("uniform"+string(s)+"AVX2", NOSPLIT, "func(row *byte, groups int, counter uint64, scale float32)")
		Doc("uniform" + string(s) + "AVX2 writes weights of eight outputs a group, those of two inputs in turn.")
	}
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
	scale, factor, high, stride := YMM(), YMM(), YMM(), YMM()
	VBROADCASTSS(one, scale)
	VMOVDQU(quads("hashFactor4", hashFactor, 0), factor)
	VPSRLQ(Imm(32), factor, high)
	VMOVDQU(quads("hashStride", steps(8), 0), stride)
	low4, high4 := YMM(), YMM()
	VPBROADCASTQ(x, low4)
	VPADDQ(quads("hashSteps4", steps(4), hashStep), low4, high4)
	VPADDQ(quads("hashSteps0", 0, hashStep), low4, low4)

	Label("next")
	a, b := floats(mixed(low4, factor, high), scale), floats(mixed(high4, factor, high), scale)
	store(s, rows, a, b)
	VPADDQ(stride, low4, low4)
	VPADDQ(stride, high4, high4)
	for _, r := range rows {
		ADDQ(Imm(32), r)
	}
	DECQ(groups)
	JNZ(LabelRef("next"))
	VZEROUPPER()
	RET()
}

// steps is n steps of the hash's counter, which wraps around.
func steps(n uint64) uint64 {
	step := uint64(hashStep)
	return n * step
}

// mixed is the hash of four counters: mix64 of package moe.
func mixed(counters, factor, high VecVirtual) VecVirtual {
	z, t, u := YMM(), YMM(), YMM()
	VPSRLQ(Imm(32), counters, t)
	VPXOR(counters, t, z)
	for range 2 {
		// z · factor, of which the upper half of the product of the upper halves is lost
		VPSRLQ(Imm(32), z, t)
		VPMULUDQ(factor, t, t)
		VPMULUDQ(high, z, u)
		VPADDQ(t, u, t)
		VPSLLQ(Imm(32), t, t)
		VPMULUDQ(factor, z, z)
		VPADDQ(t, z, z)
		VPSRLQ(Imm(32), z, t)
		VPXOR(t, z, z)
	}
	return z
}

// floats makes eight weights of four hashes, in place.
func floats(z, scale VecVirtual) VecVirtual {
	VPSRAD(Imm(8), z, z)
	VCVTDQ2PS(z, z)
	VMULPS(scale, z, z)
	return z
}

// store writes the weights of eight outputs: those of four in a, of the others in b.
func store(s storage, rows []Register, a, b VecVirtual) {
	const inOrder = 0xd8 // of quads that an operation within 128 bits has left as 0, 2, 1, 3
	switch s {
	case f32:
		for i, which := range []uint8{0x88, 0xdd} {
			v := YMM()
			VSHUFPS(Imm(uint64(which)), b, a, v)
			VPERMPD(Imm(inOrder), v, v)
			VMOVUPS(v, Mem{Base: rows[i]})
		}
	case f16:
		for i, v := range []VecVirtual{a, b} {
			VCVTPS2PH(Imm(0), v, Mem{Base: rows[0]}.Offset(16*i))
		}
	default:
		for _, v := range []VecVirtual{a, b} { // to nearest, ties to even
			odd := YMM()
			VPSLLD(Imm(15), v, odd)
			VPSRLD(Imm(31), odd, odd)
			VPADDD(v, odd, v)
			VPADDD(dwords("half", 0x7fff), v, v)
			VPSRLD(Imm(16), v, v)
		}
		VPACKUSDW(b, a, a)
		VPERMQ(Imm(inOrder), a, a)
		VMOVDQU(a, Mem{Base: rows[0]})
	}
}

// quads are four integers of 64 bits, each step more than the one before.
func quads(name string, first, step uint64) Mem {
	m, ok := constants[name]
	if !ok {
		m = GLOBL(name, NOPTR|RODATA)
		for i := range 4 {
			DATA(8*i, U64(first+uint64(i)*step))
		}
		constants[name] = m
	}
	return m
}

// dwords is an integer of 32 bits in all lanes.
func dwords(name string, v uint32) Mem {
	m, ok := constants[name]
	if !ok {
		m = GLOBL(name, NOPTR|RODATA)
		for i := range 8 {
			DATA(4*i, U32(v))
		}
		constants[name] = m
	}
	return m
}
