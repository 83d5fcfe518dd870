package main

import (
	"fmt"
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// generateGELU writes dst = up / (1 + exp(-2z)), 2z = √(8/π)·(up + 0.044715·up³).
func generateGELU() {
	TEXT("geluAVX2", NOSPLIT, "func(dst, up *float32, rows, groups, stride int)")
	Doc("geluAVX2 sets dst, (groups, rows, 8), to gelu(up), whose rows are stride bytes apart.")
	two := math.Sqrt(8 / math.Pi)
	eachGroup([]string{"up"}, func(v []VecVirtual) VecVirtual {
		up, z := v[0], YMM()
		VMULPS(up, up, z)
		VMULPS(float8("gelu3", -two*0.044715), z, z)
		VADDPS(float8("gelu1", -two), z, z)
		VMULPS(up, z, z)
		return divideByOnePlusExp(up, z)
	})
}

// generateSwiGLU writes dst = gate / (1 + exp(-gate)) · up.
func generateSwiGLU() {
	TEXT("swigluAVX2", NOSPLIT, "func(dst, gate, up *float32, rows, groups, stride int)")
	Doc("swigluAVX2 sets dst, (groups, rows, 8), to silu(gate)·up, whose rows are stride bytes apart.")
	eachGroup([]string{"gate", "up"}, func(v []VecVirtual) VecVirtual {
		negative := YMM()
		VXORPS(float8("minus", math.Copysign(0, -1)), v[0], negative)
		silu := divideByOnePlusExp(v[0], negative)
		VMULPS(v[1], silu, silu)
		return silu
	})
}

// eachGroup applies f to eight values of each argument at a time and stores what it returns to dst, (groups, rows, 8).
func eachGroup(names []string, f func([]VecVirtual) VecVirtual) {
	dst := Load(Param("dst"), GP64())
	groups := Load(Param("groups"), GP64())
	stride := Load(Param("stride"), GP64())
	var column []Register
	for _, name := range names {
		column = append(column, Load(Param(name), GP64()))
	}

	Label("nextGroup")
	rows := Load(Param("rows"), GP64())
	var at []Register
	for _, c := range column {
		r := GP64()
		MOVQ(c, r)
		at = append(at, r)
	}

	Label("nextRow")
	var values []VecVirtual
	for _, r := range at {
		v := YMM()
		VMOVUPS(Mem{Base: r}, v)
		values = append(values, v)
		ADDQ(stride, r)
	}
	VMOVUPS(f(values), Mem{Base: dst})
	ADDQ(Imm(4*group), dst)
	DECQ(rows)
	JNZ(LabelRef("nextRow"))
	for _, c := range column {
		ADDQ(Imm(4*group), c)
	}
	DECQ(groups)
	JNZ(LabelRef("nextGroup"))
	VZEROUPPER()
	RET()
}

// divideByOnePlusExp returns v / (1 + exp(t)). With n the integer next to t/ln 2,
// exp(t) = 2ⁿ·exp(f), |f| <= ln(2)/2, where seven terms of the series leave 6e-9.
// A NaN in v stays one, whatever exp makes of it.
func divideByOnePlusExp(v, t VecVirtual) VecVirtual {
	n, e := YMM(), YMM()
	VMINPS(float8("highest", 88), t, t) // exp within a float32's normal range
	VMAXPS(float8("lowest", -86), t, t)
	VMULPS(float8("log2e", math.Log2E), t, n)
	VROUNDPS(Imm(0), n, n)
	const ln2High = 0x1.62ep-1 // 13 bits: n times it is exact
	VFNMADD231PS(float8("ln2High", ln2High), n, t)
	VFNMADD231PS(float8("ln2Low", math.Ln2-ln2High), n, t)
	VMOVUPS(float8("term7", 1./5040), e)
	for i, term := range []float64{720, 120, 24, 6, 2, 1, 1} {
		VFMADD213PS(float8(fmt.Sprint("term", 6-i), 1/term), t, e)
	}
	VCVTPS2DQ(n, n)
	VPSLLD(Imm(23), n, n)
	VPADDD(n, e, e) // times 2ⁿ
	VADDPS(float8("term0", 1), e, e)
	VDIVPS(e, v, e)
	return e
}

var constants = map[string]Mem{}

// float8 is a constant in all eight lanes.
func float8(name string, value float64) Mem {
	m, ok := constants[name]
	if !ok {
		m = GLOBL(name, NOPTR|RODATA)
		for i := range 8 {
			DATA(4*i, U32(math.Float32bits(float32(value))))
		}
		constants[name] = m
	}
	return m
}
