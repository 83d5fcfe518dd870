package moe

import (
	"encoding/binary"
	"math"
	"runtime"
)

// randomMatrix computes the weights of one matrix, (out, in), as fast as memory takes
// them. A hash gives 64 bits: two neighbouring words of the kernel layout, each an f32
// or a pair of 16-bit values.
//
//	words (j, n) and (j, n+1) of outputs n, n+1 = bits of mix(mix(key + j·step) + n/2·step)
//
// Of each value the hash gives the sign, the fraction and one bit of the exponent; the
// rest of the exponent is the same for all. So every value is finite, and rounded to
// its type without any rounding.
type randomMatrix struct {
	key     uint64
	dtype   DType
	out, in int
	fanIn   int
}

func newRandomMatrix(seed, id uint64, t DType, out, in int) randomMatrix {
	return randomMatrix{key: mix64(mix64(seed+hashStep) + id), dtype: t, out: out, in: in, fanIn: in}
}

// exponent is e for values of ±1 to ±4 times 2^e: their root mean square, 2.4·2^e, is
// nearest to 1/√fanIn.
func (g randomMatrix) exponent() int {
	return int(math.Round(-math.Log2(float64(g.fanIn))/2 - math.Log2(2.415)))
}

// bits are what the hash decides and what is added to it.
func (g randomMatrix) bits() (mask, base uint64) {
	e := uint64(g.exponent())
	switch g.dtype {
	case F32:
		return 0x80ffffff_80ffffff, (e + 127) << 23 * 0x1_00000001
	case F16:
		return 0x87ff87ff_87ff87ff, (e + 15) << 10 * 0x1_0001_0001_0001
	}
	return 0x80ff80ff_80ff80ff, (e + 127) << 7 * 0x1_0001_0001_0001
}

// words are the inputs of a row in words; the second half of an odd last pair is unused.
func (g randomMatrix) words() int { return (g.in*g.dtype.Size() + 3) / 4 }

func (g randomMatrix) row(j int) uint64 { return mix64(g.key + uint64(j)*hashStep) }

// fill writes the matrix to dst in the kernel layout with stride outputs (padded), and
// leaves padding as it is.
func (g randomMatrix) fill(dst []byte, stride int) {
	le := binary.LittleEndian
	mask, base := g.bits()
	keep := ^uint64(0)
	for j := range g.words() {
		hash, row := g.row(j), dst[4*j*stride:][:4*g.out]
		if 4*(j+1) > g.in*g.dtype.Size() {
			keep = 0xffff_0000ffff // the last pair's second half is padding
		}
		i := 0
		for ; i+8 <= len(row); i += 8 {
			le.PutUint64(row[i:i+8], (mix64(hash)&mask+base)&keep)
			hash += hashStep
		}
		if i < len(row) { // an odd last output
			le.PutUint32(row[i:], uint32((mix64(hash)&mask+base)&keep))
		}
	}
}

// natural writes the matrix to dst as a checkpoint stores it, on all cores.
func (g randomMatrix) natural(dst []byte) {
	rows := make([]uint64, g.words())
	for j := range rows {
		rows[j] = g.row(j)
	}
	rowBytes := g.in * g.dtype.Size()
	each(make([]struct{}, runtime.GOMAXPROCS(0)), (g.out+1)/2, func(_ struct{}, i int) {
		first := dst[2*i*rowBytes:][:rowBytes]
		second := []byte(nil)
		if 2*i+1 < g.out {
			second = dst[(2*i+1)*rowBytes:][:rowBytes]
		}
		g.naturalRows(first, second, rows, uint64(i)*hashStep)
	})
}

// naturalRows writes two neighbouring rows, or one.
func (g randomMatrix) naturalRows(first, second []byte, rows []uint64, offset uint64) {
	le := binary.LittleEndian
	mask, base := g.bits()
	for j, hash := range rows {
		both := mix64(hash+offset)&mask + base
		if len(first)-4*j < 4 { // an odd last value
			le.PutUint16(first[4*j:], uint16(both))
			if second != nil {
				le.PutUint16(second[4*j:], uint16(both>>32))
			}
			return
		}
		le.PutUint32(first[4*j:], uint32(both))
		if second != nil {
			le.PutUint32(second[4*j:], uint32(both>>32))
		}
	}
}

// values are what natural writes, as float32.
func (g randomMatrix) values() []float32 {
	raw, v := make([]byte, g.out*g.in*g.dtype.Size()), make([]float32, g.out*g.in)
	g.natural(raw)
	decode(v, raw, g.dtype)
	return v
}
