package kernel

import "fmt"

// Group is how many inputs are added up before their sum goes to the outputs.
const Group = 8

// TileOut is the most outputs of a matrix that one call computes. Memory is best read
// in runs as long as that. Where there are many rows, or too few tiles for all cores,
// fewer are better, down to MinTileOut. Results do not depend on it.
const (
	TileOut    = 1024
	MinTileOut = 256
)

// Stride is the distance of rows in acc for tiles of width outputs. One more cache line
// than is needed keeps the same output of all rows from falling into the same few places
// of a cache.
func Stride(width int) int { return (width+blockOut-1)/blockOut*blockOut + 16 }

// Storage is how weights are stored.
type Storage uint8

// The storage types. Those of 16 bits interleave pairs of inputs.
const (
	F32 Storage = iota
	F16
	BF16
)

// Size is the bytes of one weight.
func (s Storage) Size() int {
	if s == F32 {
		return 4
	}
	return 2
}

// Matrix is a weight matrix in the layout of moe.Layout: (in, out) row-major, both
// multiples of 8.
type Matrix struct {
	Data    []byte
	Storage Storage
	In, Out int
}

// Set is one implementation of all functions.
type Set struct {
	Name string // plain, avx2 or avx512

	multiply func(acc []float32, m Matrix, n, width int, x []float32, rows int)
	gelu     func(dst, up []float32, rows, width int)
	swiglu   func(dst, gate, up []float32, rows, width int)
}

// Available lists what runs on this machine, the fastest first and plain Go last.
func Available() []*Set { return append(simd(), &Set{"plain", multiply, gelu, swiglu}) }

// Best is the fastest of Available.
func Best() *Set { return Available()[0] }

// Multiply sets acc, (rows, Stride(width)), to width outputs of matrix × row, from n, for each
// row of x, (in/8, rows, 8). n and width are multiples of 8. Beyond width a row of acc
// has no meaning.
func (s *Set) Multiply(acc []float32, m Matrix, n, width int, x []float32, rows int) {
	checkWidth(width)
	if rows < 1 || n < 0 || n+width > m.Out || (n|m.In|m.Out)%Group != 0 ||
		len(m.Data) < m.In*m.Out*m.Storage.Size() {
		panic(fmt.Sprintf("kernel: %d rows by outputs %d to %d of a %d × %d matrix of %d bytes",
			rows, n, n+width, m.In, m.Out, len(m.Data)))
	}
	acc = acc[:rows*Stride(width)]
	clear(acc)
	s.multiply(acc, m, n, width, x[:rows*m.In], rows)
}

// GELU sets dst, (width/8, rows, 8), to gelu(up) in the tanh form. up is what Multiply
// makes of rows in a tile of width outputs.
func (s *Set) GELU(dst, up []float32, rows, width int) {
	checkWidth(width)
	s.gelu(dst[:rows*width], up[:rows*Stride(width)], rows, width)
}

// SwiGLU sets dst, (width/8, rows, 8), to silu(gate)·up, which are both what Multiply
// makes of rows in a tile of width outputs.
func (s *Set) SwiGLU(dst, gate, up []float32, rows, width int) {
	checkWidth(width)
	s.swiglu(dst[:rows*width], gate[:rows*Stride(width)], up[:rows*Stride(width)], rows, width)
}

func checkWidth(width int) {
	if width < Group || width > TileOut || width%Group != 0 {
		panic(fmt.Sprintf("kernel: tile of %d outputs: want a multiple of %d up to %d",
			width, Group, TileOut))
	}
}
