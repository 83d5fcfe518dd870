//go:build cgo && linux

package vulkan

import (
	"encoding/binary"
	"fmt"
	"math"
	"testing"

	"github.com/x448/float16"

	"ufm/moe"
)

// TestMatrices compares the kernels on the matrix units with float64, where the device has
// them: row counts at the edges of every tile, and both what rounds activations and what
// must not.
func TestMatrices(t *testing.T) {
	b := open(t, Options{})
	if !b.matrices {
		t.Skipf("%s has no matrices of bfloat16, or another order in them", b.device.Info().Name)
	}
	for form := moe.GELU; form <= moe.SwiGLU; form++ {
		for dtype := moe.F32; dtype <= moe.BF16; dtype++ {
			var routing []uint32
			for e, rows := range []int{5, 17, 33, 63, 64, 131} {
				for range rows {
					routing = append(routing, uint32(e))
				}
			}
			for i, dims := range [][2]int{
				{136, 264}, {136, 264}, {192, 192}, {256, 512}, // with edges, half and wholly without
			} {
				exact := i > 0
				s := moe.Shape{
					Layers: 1, Experts: 6, DModel: dims[0], DHidden: dims[1], TopK: 1, Form: form, DType: dtype,
				}
				t.Run(fmt.Sprintf("%s/%s/%dx%d/exact=%v", form, dtype, dims[0], dims[1], exact), func(t *testing.T) {
					g := newRig(t, b, s, len(routing))
					g.routing = routing
					batch := g.run(t, moe.RunConfig{Mode: moe.Baseline, Exact: exact}, 1)
					r, err := moe.Verify(t.Context(), g.bank.Model(), batch)
					if err != nil {
						t.Fatal(err)
					}
					t.Logf("NMSE %.2g, of the worst token %.2g", r.NMSE, r.TokenNMSE)
					most := 1e-11
					if !exact && dtype != moe.F32 {
						most = 1e-5
						if r.NMSE < 1e-9 {
							t.Errorf("NMSE: got %g: nothing was rounded", r.NMSE)
						}
					}
					if r.NMSE > most {
						t.Errorf("NMSE: got %g, want at most %g", r.NMSE, most)
					}
				})
			}
		}
	}
}

// TestDenseOnMatrices runs the dense products of many tokens with and without the matrix units.
func TestDenseOnMatrices(t *testing.T) {
	b, m, bank := tinyText(t)
	if !b.matrices {
		t.Skipf("%s has no matrices of bfloat16, or another order in them", b.device.Info().Name)
	}
	for dtype := moe.F32; dtype <= moe.BF16; dtype++ {
		t.Run(dtype.String(), func(t *testing.T) { testDenseOnMatrices(t, b, denseIn{m, dtype}, bank) })
	}
}

func testDenseOnMatrices(t *testing.T, b *backend, m moe.TextModel, bank moe.Bank) {
	cfg := moe.TextConfig{Context: 160, Logits: 1, Run: moe.RunConfig{Mode: moe.Baseline, MaxTokens: 150}}
	var logits [2][]float32
	for i := range logits {
		r := newText(t, b, m, bank, cfg).(*textRunner)
		if i == 1 {
			r.text.sizes.matrixRows = 0
		}
		for _, n := range []int{minMatrixRows, 49, 67} { // a part of a tile, one more, several
			c := capture(m, benchIDs(n, m.Config().Vocab))
			if _, err := r.Forward(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			logits[i] = append(logits[i], c.Logits...)
		}
	}
	d := moe.Compare(logits[0], wide(logits[1]), len(logits[1]))
	t.Logf("NMSE %.2g", d.NMSE)
	if !(d.NMSE <= 1e-10) || d.NMSE == 0 {
		t.Errorf("NMSE %g, want one above 0 and at most 1e-10", d.NMSE)
	}
}

// denseIn is a model whose matrices outside the experts are stored in another type.
type denseIn struct {
	moe.TextModel
	dtype moe.DType
}

func (m denseIn) DenseDType() moe.DType { return m.dtype }

func (m denseIn) FillDense(kind moe.DenseKind, layer int, dst []byte) error {
	values, err := m.Dense(kind, layer)
	for i, v := range values {
		switch m.dtype {
		case moe.F32:
			binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(v))
		case moe.F16:
			binary.LittleEndian.PutUint16(dst[2*i:], float16.Fromfloat32(v).Bits())
		case moe.BF16: // as they are
			binary.LittleEndian.PutUint16(dst[2*i:], uint16(math.Float32bits(v)>>16))
		}
	}
	return err
}
