package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

type storage string

const (
	f32  storage = "F32"
	f16  storage = "F16"
	bf16 storage = "BF16"
)

// rows is how many rows of memory hold the weights of a group.
func (s storage) rows() int {
	if s == f32 {
		return group
	}
	return group / 2 // a row holds pairs of inputs
}

// isa is what differs between instruction sets.
type isa interface {
	name() string
	lanes() int
	// prepare sets up what is needed once; columns is how many outputs there are.
	prepare(s storage)
	// column is called before each column of lanes() outputs; left outputs remain.
	column(left Register)
	// load reads a row of memory: an input's weights, or those of a pair of inputs.
	load(s storage, from Mem) []VecVirtual
	// products adds x[0]·w[0] + x[1]·w[1] + ... to the outputs at acc.
	products(acc, x Mem, w []VecVirtual)
}

// generateProduct writes a function that adds rows × a tile of a matrix to acc:
//
//	for each group of inputs
//	    for each column of outputs
//	        load the group's weights into registers, fetch the next group's from memory
//	        for each row
//	            acc[row][column] += the sum of the group's products
func generateProduct(set isa, s storage) {
	name := "product" + string(s) + set.name()
	TEXT(name, NOSPLIT,
		"func(acc *float32, w *byte, x *float32, rows, groups, cols, stride, accStride int)")
	Doc(name + " is a product of weights stored as " + string(s) + ".")
	w := Load(Param("w"), GP64())
	x := Load(Param("x"), GP64())
	groups := Load(Param("groups"), GP64())
	stride := Load(Param("stride"), GP64())
	accStride := Load(Param("accStride"), GP64())
	stride3, xStep := GP64(), GP64()
	LEAQ(Mem{Base: stride, Index: stride, Scale: 2}, stride3)
	Load(Param("rows"), xStep)
	SHLQ(Imm(5), xStep) // 8 floats
	set.prepare(s)

	Label("nextGroup")
	column, left := GP64(), GP64()
	out := Load(Param("acc"), GP64())
	MOVQ(w, column)
	Load(Param("cols"), left)

	Label("nextColumn")
	set.column(left)
	weights := loadGroup(set, s, column, stride, stride3)
	rows := Load(Param("rows"), GP64())
	acc, from := GP64(), GP64()
	MOVQ(out, acc)
	MOVQ(x, from)

	Label("nextRow")
	set.products(Mem{Base: acc}, Mem{Base: from}, weights)
	ADDQ(accStride, acc)
	ADDQ(Imm(4*group), from)
	DECQ(rows)
	JNZ(LabelRef("nextRow"))

	width := uint64(4 * set.lanes()) // of memory, in any storage, and of acc
	ADDQ(Imm(width), column)
	ADDQ(Imm(width), out)
	SUBQ(Imm(uint64(set.lanes())), left)
	JG(LabelRef("nextColumn"))

	LEAQ(Mem{Base: w, Index: stride, Scale: 4}, w)
	if s == f32 {
		LEAQ(Mem{Base: w, Index: stride, Scale: 4}, w)
	}
	ADDQ(xStep, x)
	DECQ(groups)
	JNZ(LabelRef("nextGroup"))
	VZEROUPPER()
	RET()
}

// loadGroup reads a column of the group's weights and prefetches that of the next
// group, which lies too far away for the processor to foresee.
func loadGroup(set isa, s storage, column, stride, stride3 Register) []VecVirtual {
	at := GP64()
	MOVQ(column, at)
	row := func(r int) Mem {
		switch r % 4 {
		case 0:
			return Mem{Base: at}
		case 3:
			return Mem{Base: at, Index: stride3, Scale: 1}
		}
		return Mem{Base: at, Index: stride, Scale: uint8(r % 4)}
	}
	var weights []VecVirtual
	for r := range 2 * s.rows() {
		if r > 0 && r%4 == 0 {
			LEAQ(Mem{Base: at, Index: stride, Scale: 4}, at)
		}
		if r < s.rows() {
			weights = append(weights, set.load(s, row(r))...)
		} else {
			PREFETCHT1(row(r))
		}
	}
	return weights
}
