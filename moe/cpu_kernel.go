package moe

import (
	"encoding/binary"
	"math"
)

// The plain kernel works on tiles: tileIn inputs × tileOut outputs of a matrix are
// converted to float32 once and applied to every row that the expert has.
//
//	         8 blocks of 32 outputs        for each row and block:
//	        ┌─────┬─────┬─────┬─────┐
//	8 inputs│     │     │     │     │ ──▶ outputs += ((x0·w0 + x1·w1) + (x2·w2 + x3·w3))
//	        └─────┴─────┴─────┴─────┘              + ((x4·w4 + x5·w5) + (x6·w6 + x7·w7))
//
// So the order of every sum depends on nothing but the number of inputs: not on how
// rows, outputs or experts are cut among threads, nor on the storage type.
const (
	tileIn   = 8
	blockOut = 32

	// As wide as memory wants to be read at a time, while a tile stays in the first cache.
	tileOut = 8 * blockOut
)

// block are neighbouring outputs of one row, or weights of one input.
type block [blockOut]float32

// tile is a part of a matrix in float32: (tileOut / blockOut, tileIn, blockOut).
type tile [tileOut / blockOut][tileIn]block

// matrix is one weight matrix in the kernel layout; its dimensions are padded.
type matrix struct {
	data    []byte
	dtype   DType
	in, out int
}

// multiply sets acc, (rows, tileOut), to the outputs n.. of matrix × row for each of
// rows in x, (rows, in). Beyond the matrix's last output acc has no meaning.
func (m matrix) multiply(acc []float32, t *tile, n int, x []float32, rows []int32) {
	clear(acc[:len(rows)*tileOut])
	blocks := (min(tileOut, m.out-n) + blockOut - 1) / blockOut
	for k := 0; k < m.in; k += tileIn {
		m.load(t, k, n)
		for i, row := range rows {
			inputs := (*[tileIn]float32)(x[int(row)*m.in+k:])
			for p := range blocks {
				accumulate((*block)(acc[i*tileOut+p*blockOut:]), inputs, &t[p])
			}
		}
	}
}

// accumulate adds the products of eight inputs to the outputs of one row.
func accumulate(y *block, x *[tileIn]float32, w *[tileIn]block) {
	x0, x1, x2, x3 := x[0], x[1], x[2], x[3]
	x4, x5, x6, x7 := x[4], x[5], x[6], x[7]
	for n := range y {
		a := (x0*w[0][n] + x1*w[1][n]) + (x2*w[2][n] + x3*w[3][n])
		b := (x4*w[4][n] + x5*w[5][n]) + (x6*w[6][n] + x7*w[7][n])
		y[n] += a + b
	}
}

// load converts inputs k.. and outputs n.. of the matrix, one input, or pair of
// interleaved inputs, after the other: in the order of memory.
func (m matrix) load(t *tile, k, n int) {
	step := 1
	if m.dtype != F32 {
		step = 2
	}
	for j := 0; j < tileIn; j += step {
		row := m.data[m.dtype.Size()*((k+j)*m.out+step*n):]
		for p := 0; p < tileOut/blockOut && n+p*blockOut < m.out; p++ {
			part := row[4*p*blockOut:]
			if rest := m.out - n - p*blockOut; rest < blockOut {
				part = append(make([]byte, 0, 4*blockOut), part[:4*rest]...)[:4*blockOut]
			}
			words := (*[4 * blockOut]byte)(part)
			switch m.dtype {
			case F32:
				loadF32(&t[p][j], words)
			case F16:
				loadF16(&t[p][j], &t[p][j+1], words)
			case BF16:
				loadBF16(&t[p][j], &t[p][j+1], words)
			}
		}
	}
}

func loadF32(dst *block, words *[4 * blockOut]byte) {
	for n := range dst {
		dst[n] = math.Float32frombits(binary.LittleEndian.Uint32(words[4*n:]))
	}
}

// loadF16 converts the interleaved weights of two inputs.
func loadF16(even, odd *block, words *[4 * blockOut]byte) {
	for n := range even {
		pair := binary.LittleEndian.Uint32(words[4*n:])
		even[n] = widenF16(pair & 0xffff)
		odd[n] = widenF16(pair >> 16)
	}
}

// loadBF16 converts the interleaved weights of two inputs.
func loadBF16(even, odd *block, words *[4 * blockOut]byte) {
	for n := range even {
		pair := binary.LittleEndian.Uint32(words[4*n:])
		even[n] = math.Float32frombits(pair << 16)
		odd[n] = math.Float32frombits(pair &^ 0xffff)
	}
}

// gelu is x·Φ(x) in the tanh form: x/2·(1+tanh z) = x/(1+exp(-2z)).
func gelu(x float32) float32 {
	v := float64(x)
	z := math.Sqrt2 / math.SqrtPi * (v + 0.044715*v*v*v)
	return float32(v / (1 + math.Exp(-2*z)))
}

// silu is x·σ(x).
func silu(x float32) float32 {
	v := float64(x)
	return float32(v / (1 + math.Exp(-v)))
}
