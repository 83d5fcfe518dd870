//go:build !purego

package kernel

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// TestUniformAlike: AVX-512 and AVX2 give the same bits. Package moe compares with values that
// are computed one by one.
func TestUniformAlike(t *testing.T) {
	narrow := uniform{8, uniformF32AVX2, uniformF16AVX2, uniformBF16AVX2}
	if bestUniform.outputs <= narrow.outputs {
		t.Skip("this processor has one way at most")
	}
	rng := rand.New(rand.NewPCG(1, 0))
	for range 100 {
		counter, scale := rng.Uint64(), rng.Float32()/(1<<24)
		for s := F32; s <= BF16; s++ {
			var rows [2][2][]byte
			for i, u := range []uniform{bestUniform, narrow} {
				rows[i] = [2][]byte{make([]byte, 4*48), make([]byte, 4*48)}
				if n := u.fill(s, rows[i][0], rows[i][1], counter, scale); n != 48 {
					t.Fatalf("got %d of 48 outputs", n)
				}
			}
			if !bytes.Equal(rows[0][0], rows[1][0]) || !bytes.Equal(rows[0][1], rows[1][1]) {
				t.Fatalf("storage %d, counter %d: weights differ", s, counter)
			}
		}
	}
}
