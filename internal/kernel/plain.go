package kernel

import (
	"encoding/binary"
	"math"
)

// Plain Go computes blockOut neighbouring outputs in one loop, and goes down a matrix
// with tiles so wide that one in float32 stays in the first cache.
const (
	blockOut = 32
	plainOut = 8 * blockOut
)

// block are neighbouring outputs of one row, or weights of one input.
type block [blockOut]float32

// tile is a group's part of a matrix in float32: (plainOut / blockOut, Group, blockOut).
type tile [plainOut / blockOut][Group]block

// multiply converts a tile to float32 once and applies it to every row:
//
//	outputs += ((x0·w0 + x1·w1) + (x2·w2 + x3·w3)) + ((x4·w4 + x5·w5) + (x6·w6 + x7·w7))
func multiply(acc []float32, m Matrix, n, width int, x []float32, rows int) {
	var t tile
	for from := 0; from < width; from += plainOut {
		outputs := min(plainOut, width-from)
		for k := 0; k < m.In; k += Group {
			m.load(&t, k, n+from, outputs)
			for row := range rows {
				inputs := (*[Group]float32)(x[k*rows+row*Group:])
				for p := 0; p*blockOut < outputs; p++ {
					accumulate((*block)(acc[row*Stride(width)+from+p*blockOut:]), inputs, &t[p])
				}
			}
		}
	}
}

// accumulate adds the products of eight inputs to the outputs of one row.
func accumulate(y *block, x *[Group]float32, w *[Group]block) {
	x0, x1, x2, x3 := x[0], x[1], x[2], x[3]
	x4, x5, x6, x7 := x[4], x[5], x[6], x[7]
	for n := range y {
		a := (x0*w[0][n] + x1*w[1][n]) + (x2*w[2][n] + x3*w[3][n])
		b := (x4*w[4][n] + x5*w[5][n]) + (x6*w[6][n] + x7*w[7][n])
		y[n] += a + b
	}
}

// load converts inputs k.. and some outputs, n.., of the matrix, one input, or pair of
// interleaved inputs, after the other: in the order of memory.
func (m Matrix) load(t *tile, k, n, outputs int) {
	step := 1
	if m.Storage != F32 {
		step = 2
	}
	for j := 0; j < Group; j += step {
		row := m.Data[m.Storage.Size()*((k+j)*m.Out+step*n):]
		for p := 0; p*blockOut < outputs; p++ {
			part := row[4*p*blockOut:]
			if rest := outputs - p*blockOut; rest < blockOut {
				part = append(make([]byte, 0, 4*blockOut), part[:4*rest]...)[:4*blockOut]
			}
			words := (*[4 * blockOut]byte)(part)
			switch m.Storage {
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
		even[n] = WidenF16(pair & 0xffff)
		odd[n] = WidenF16(pair >> 16)
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
