package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// generatePeak searches 32 values at a time, in four vectors, for what is extreme of their
// bits as kernel.PeakOf orders them.
func generatePeak() {
	const vectors = 4
	TEXT("peakAVX2", NOSPLIT,
		"func(values *float32, groups int, highest *[8]int32, largest *[8]uint32)")
	Doc("peakAVX2 is kernel.PeakOf of each lane.")
	values, groups := Load(Param("values"), GP64()), Load(Param("groups"), GP64())
	zero, unsigned := YMM(), YMM()
	VXORPS(zero, zero, zero)
	VPCMPEQD(unsigned, unsigned, unsigned)
	var highest, largest [vectors]VecVirtual
	for i := range vectors {
		highest[i], largest[i] = YMM(), YMM()
		VPSLLD(Imm(31), unsigned, highest[i]) // the least integer
		VXORPS(largest[i], largest[i], largest[i])
	}
	VPSRLD(Imm(1), unsigned, unsigned)

	Label("next")
	for i := range vectors {
		v, other := YMM(), YMM()
		VADDPS(Mem{Base: values, Disp: 32 * i}, zero, v) // -0 is 0
		VPAND(unsigned, v, other)
		VPMAXUD(other, largest[i], largest[i])
		VPSRAD(Imm(31), v, other)
		VPAND(unsigned, other, other)
		VPXOR(other, v, v)
		VPMAXSD(v, highest[i], highest[i])
	}
	ADDQ(Imm(32*vectors), values)
	DECQ(groups)
	JNZ(LabelRef("next"))
	for i := 1; i < vectors; i++ {
		VPMAXSD(highest[i], highest[0], highest[0])
		VPMAXUD(largest[i], largest[0], largest[0])
	}
	VMOVDQU(highest[0], Mem{Base: Load(Param("highest"), GP64())})
	VMOVDQU(largest[0], Mem{Base: Load(Param("largest"), GP64())})
	VZEROUPPER()
	RET()
}
