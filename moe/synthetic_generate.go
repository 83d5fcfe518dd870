package moe

import (
	"encoding/binary"
	"math"

	"ufm/internal/kernel"
)

// generator computes the weights of one synthetic matrix. One 64-bit hash gives two
// of them, those of inputs 2j and 2j+1 of one output:
//
//	hash(j, n)      = mix(mix(key + j·step) + n·step)
//	weight(2j, n)   = scale × (bits 8..31 of the hash as a signed integer)
//	weight(2j+1, n) = scale × (bits 40..63, likewise)
//
// Pairs of inputs are also how 16-bit layouts interleave, so every order of filling
// takes one hash for two weights.
type generator struct {
	key     uint64
	in, out int
	scale   float32
}

// hashStep is 2^64 divided by the golden ratio: it spreads consecutive counters.
const hashStep = 0x9e3779b97f4a7c15

func newGenerator(seed uint64, id, matrix, in, out int) generator {
	key := mix64(mix64(seed+hashStep) + uint64(id)*4 + uint64(matrix))
	return generator{key: key, in: in, out: out, scale: uniformScale(in)}
}

// mix64 is a bijection of 64-bit integers whose outputs look independent.
func mix64(z uint64) uint64 {
	z ^= z >> 32
	z *= 0xd6e8feb86659fd93
	z ^= z >> 32
	z *= 0xd6e8feb86659fd93
	return z ^ z>>32
}

// pair is the key of inputs 2j and 2j+1: that of their output 0.
func (g generator) pair(j int) uint64 { return mix64(g.key + uint64(j)*hashStep) }

// values are the weights of both inputs of a pair, not yet rounded.
func (g generator) values(hash uint64) (even, odd float32) {
	return float32(int32(hash)>>8) * g.scale, float32(int32(hash>>32)>>8) * g.scale
}

// fill writes the matrix to dst in the kernel layout with stride outputs (padded);
// padding is left as it is.
func (g generator) fill(dst []byte, t DType, stride int) {
	for j := range g.in / 2 {
		row, counter := dst[j*2*stride*t.Size():], g.pair(j)
		even, odd := row[:4*g.out], []byte(nil)
		if t == F32 {
			odd = row[4*stride : 4*(stride+g.out)]
		}
		done := kernel.Uniform(kernel.Storage(t), even, odd, counter, g.scale)
		counter += uint64(done) * hashStep
		switch even = even[4*done:]; t {
		case F32:
			g.fillF32(even, odd[4*done:], counter)
		case F16:
			g.fillF16(even, counter)
		case BF16:
			g.fillBF16(even, counter)
		}
	}
	if g.in%2 == 1 {
		g.fillLast(dst[(g.in-1)*stride*t.Size():], t)
	}
}

// fillF32 writes the rows of two inputs.
func (g generator) fillF32(even, odd []byte, counter uint64) {
	odd = odd[:len(even)]
	for i := 0; i+4 <= len(even); i += 4 {
		a, b := g.values(mix64(counter))
		binary.LittleEndian.PutUint32(even[i:i+4], math.Float32bits(a))
		binary.LittleEndian.PutUint32(odd[i:i+4], math.Float32bits(b))
		counter += hashStep
	}
}

// fillF16 writes the interleaved rows of two inputs.
func (g generator) fillF16(row []byte, counter uint64) {
	for i := 0; i+4 <= len(row); i += 4 {
		a, b := g.values(mix64(counter))
		binary.LittleEndian.PutUint32(row[i:i+4], roundF16(a)|roundF16(b)<<16)
		counter += hashStep
	}
}

// fillBF16 writes the interleaved rows of two inputs.
func (g generator) fillBF16(row []byte, counter uint64) {
	for i := 0; i+4 <= len(row); i += 4 {
		a, b := g.values(mix64(counter))
		binary.LittleEndian.PutUint32(row[i:i+4], roundBF16(a)|roundBF16(b)<<16)
		counter += hashStep
	}
}

// fillLast writes the last input of an odd number of them, whose partner is padding.
func (g generator) fillLast(row []byte, t DType) {
	counter := g.pair(g.in / 2)
	for n := range g.out {
		a, _ := g.values(mix64(counter))
		switch t {
		case F32:
			binary.LittleEndian.PutUint32(row[4*n:], math.Float32bits(a))
		case F16:
			binary.LittleEndian.PutUint16(row[4*n:], uint16(roundF16(a)))
		case BF16:
			binary.LittleEndian.PutUint16(row[4*n:], uint16(roundBF16(a)))
		}
		counter += hashStep
	}
}

// natural returns the matrix (out, in) row-major, with the values that fill stores.
func (g generator) natural(t DType) []float32 {
	pairs := make([]uint64, (g.in+1)/2)
	for j := range pairs {
		pairs[j] = g.pair(j)
	}
	w := make([]float32, g.out*g.in) // (out, in)
	for n := range g.out {
		row := w[n*g.in:][:g.in]
		for j, key := range pairs {
			a, b := g.values(mix64(key + uint64(n)*hashStep))
			row[2*j] = stored(a, t)
			if 2*j+1 < g.in {
				row[2*j+1] = stored(b, t)
			}
		}
	}
	return w
}
