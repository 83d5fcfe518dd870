package moe

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
)

// TestTransposeRows compares with Layout.Index, value by value, and plants values that are
// not finite everywhere.
func TestTransposeRows(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 0))
	for dtype := F32; dtype <= BF16; dtype++ {
		size := dtype.Size()
		for range 60 {
			rows, cols := 1+rng.IntN(9), 1+rng.IntN(40)
			first := rng.IntN(5)
			out := pad(first + rows)
			natural := make([]byte, rows*cols*size)
			for i := range natural {
				natural[i] = byte(rng.Uint32()) & 0x3f // finite in every type
			}
			dst := make([]byte, pad(cols)*out*size)
			if !transposeRows(dst, natural, dtype, first, rows, out) {
				t.Fatalf("%s, %d × %d: finite values were refused", dtype, rows, cols)
			}
			l := Layout{DType: dtype}
			for n := range rows {
				for k := range cols {
					got := dst[l.Index(k, first+n, out)*size:][:size]
					if want := natural[(n*cols+k)*size:][:size]; string(got) != string(want) {
						t.Fatalf("%s, %d × %d: (%d, %d): got %x, want %x", dtype, rows, cols, n, k, got, want)
					}
				}
			}
			at := rng.IntN(rows * cols)
			switch infinity := map[DType]uint32{F32: 0x7f800000, F16: 0xfc00, BF16: 0x7f80}[dtype]; dtype {
			case F32:
				binary.LittleEndian.PutUint32(natural[4*at:], infinity)
			default:
				binary.LittleEndian.PutUint16(natural[2*at:], uint16(infinity))
			}
			if transposeRows(dst, natural, dtype, first, rows, out) {
				t.Errorf("%s, %d × %d: infinity at %d was not seen", dtype, rows, cols, at)
			}
		}
	}
}

func BenchmarkTransposeRows(b *testing.B) {
	const block = 64
	for _, s := range [][2]int{{768, 2048}, {2048, 768}, {8192, 2048}} {
		b.Run(fmt.Sprintf("rows=%d/cols=%d", s[0], s[1]), func(b *testing.B) {
			rows, rowBytes := s[0], 2*s[1]
			natural, dst := make([]byte, rows*rowBytes), make([]byte, rows*rowBytes)
			b.SetBytes(int64(len(natural)))
			for b.Loop() {
				for first := 0; first < rows; first += block {
					transposeRows(dst, natural[first*rowBytes:][:block*rowBytes], BF16, first, block, rows)
				}
			}
		})
	}
}
