package moe

import "encoding/binary"

// Layout places the matrices of one expert inside a slot; the arena and the pool
// hold every expert in it, so that an upload is one copy of contiguous bytes.
//
// Every matrix is stored transposed, (in, out) row-major, so that neighbouring
// lanes of a kernel own neighbouring outputs and need no reduction between them.
// Both dimensions are padded with zeros to multiples of 8. Storage of 16 bits
// interleaves pairs of inputs: the element of input k and output n stands at
//
//	f32:        k·out + n
//	f16, bf16:  (k/2)·2·out + 2·n + k%2
//
// so that a 16-byte load gives four outputs of one input (f32) or of two.
type Layout struct {
	DType  DType
	In     int   // d_model padded
	Hidden int   // d_hidden padded
	Up     int64 // byte offset of W1 (gelu) or of up (swiglu): (In, Hidden)
	Gate   int64 // byte offset of gate: (In, Hidden); only swiglu
	Down   int64 // byte offset of W2 or down: (Hidden, In)
	Bytes  int64 // of the whole expert, rounded up to 256
}

// pad rounds a dimension up to what 16-byte loads of pairs of inputs need.
func pad(n int) int { return (n + 7) &^ 7 }

// NewLayout lays out an expert of shape s.
func NewLayout(s Shape) Layout {
	l := Layout{DType: s.DType, In: pad(s.DModel), Hidden: pad(s.DHidden)}
	matrix := int64(l.In) * int64(l.Hidden) * int64(s.DType.Size())
	next := matrix
	if s.Form == SwiGLU {
		l.Gate = next
		next += matrix
	}
	l.Down = next
	l.Bytes = (next + matrix + 255) &^ 255
	return l
}

// Index is the position, in values, of input k and output n in a matrix with out
// (padded) outputs.
func (l Layout) Index(k, n, out int) int {
	if l.DType == F32 {
		return k*out + n
	}
	return (k>>1)*2*out + 2*n + k&1
}

// transposeRows writes rows of a matrix in natural order, the first of which is row first,
// to dst, (cols, out) in the order of Layout.Index. It tells whether all were finite.
//
// That layout keeps pairs of 16-bit inputs together, as a row in natural order does
// too. So every dtype is transposed in words of 32 bits, an f32 or a pair:
//
//	row n:  | k=0 1 | k=2 3 | …      word j of row n  →  word j·out + n
//
// It goes down eight words of a pair of rows at a time: rows are often a power of two apart,
// so that few lines of many rows stay in a cache, and two rows are one write of 64 bits.
func transposeRows(dst, natural []byte, t DType, first, rows, out int) (finite bool) {
	le, exp := binary.LittleEndian, exponents[t]
	rowBytes := len(natural) / rows
	const wide = 8
	whole := rowBytes / 4 / wide * wide
	mask, one, both := pair(exp.mask), pair(exp.one), uint64(0)
	for j := 0; j < whole; j += wide {
		for n := 0; n+1 < rows; n += 2 {
			a := natural[n*rowBytes+4*j:][:4*wide]
			b := natural[(n+1)*rowBytes+4*j:][:4*wide]
			for k := range wide {
				words := uint64(le.Uint32(a[4*k:])) | uint64(le.Uint32(b[4*k:]))<<32
				both |= words&mask + one
				le.PutUint64(dst[4*((j+k)*out+first+n):], words)
			}
		}
	}
	carry := uint32(both) | uint32(both>>32)
	for n := range rows {
		from := whole // what is left of a row: all of the last of an odd number
		if n == rows-1 && rows%2 == 1 {
			from = 0
		}
		for j := from; j < rowBytes/4; j++ {
			word := le.Uint32(natural[n*rowBytes+4*j:])
			carry |= word&exp.mask + exp.one
			le.PutUint32(dst[4*(j*out+first+n):], word)
		}
	}
	if last := rowBytes &^ 3; last < rowBytes { // the first half of a pair; none follows it
		for n := range rows {
			word := uint32(le.Uint16(natural[n*rowBytes+last:]))
			carry |= word&exp.mask + exp.one
			le.PutUint32(dst[4*(last/4*out+first+n):], word)
		}
	}
	return carry&exp.carry == 0
}

// pair is a word twice.
func pair(word uint32) uint64 { return uint64(word)<<32 | uint64(word) }
