package kernel

import (
	"math"
	"testing"
)

// activationInputs cover both signs, large and small, where exp would overflow and
// where float32 could cancel.
func activationInputs() []float32 {
	values := []float32{0, 1e-30, 1e-10, 1e-3, 200, 1e4, 1e18, 3e38}
	for v := float32(1e-4); v < 40; v *= 1.01 {
		values = append(values, v)
	}
	for _, v := range values {
		values = append(values, -v)
	}
	for len(values)%Group != 0 {
		values = append(values, 1)
	}
	return values
}

// TestActivations compares all sets with float64. The error is that of a few float32
// roundings of the argument.
func TestActivations(t *testing.T) {
	const limit = 2.5e-7
	in := activationInputs()
	for _, set := range Available() {
		for at := 0; at < len(in); at += Group {
			up, two := make([]float32, Stride(Group)), make([]float32, Stride(Group))
			for i := range Group {
				up[i], two[i] = in[at+i], 2
			}
			got := make([]float32, Group)
			set.GELU(got, up, 1, Group)
			for i := range got {
				v := float64(up[i])
				z := math.Sqrt(2/math.Pi) * (v + 0.044715*v*v*v)
				check(t, set.Name+" gelu", v, float64(got[i]), v/2*(1+math.Tanh(z)), limit)
			}
			set.SwiGLU(got, up, two, 1, Group)
			for i := range got {
				v := float64(up[i])
				if math.Abs(v) < 1e38 {
					check(t, set.Name+" silu", v, float64(got[i])/2, v/2*(1+math.Tanh(v/2)), limit)
				}
			}
		}
	}
}

func check(t *testing.T, name string, x, got, want, limit float64) {
	t.Helper()
	if !(math.Abs(got-want) <= limit*math.Abs(x)) {
		t.Errorf("%s(%g): got %g, want %g", name, x, got, want)
	}
}

// TestActivationOrder checks which value goes where, by values that activations hardly
// change, and that a NaN in any argument stays one.
func TestActivationOrder(t *testing.T) {
	const rows, width, stride = 3, 24, 32 + 16
	up, gate := make([]float32, rows*stride), make([]float32, rows*stride)
	for i := range up {
		up[i], gate[i] = float32(20+i), 50
	}
	nan := float32(math.NaN())
	up[stride+9], gate[2*stride+17] = nan, nan
	dst := make([]float32, rows*width)
	for _, set := range Available() {
		for name, f := range map[string]func(){
			"gelu":   func() { set.GELU(dst, up, rows, width) },
			"swiglu": func() { set.SwiGLU(dst, gate, up, rows, width) },
		} {
			f()
			for r := range rows {
				for n := range width {
					got, want := dst[n/Group*rows*Group+r*Group+n%Group], up[r*stride+n]
					if name == "swiglu" {
						want *= gate[r*stride+n]
					}
					if want == want && math.Abs(float64(got-want)) > 1e-5*float64(want) ||
						(got == got) != (want == want) {
						t.Errorf("%s %s: row %d, value %d: got %g, want %g",
							set.Name, name, r, n, got, want)
					}
				}
			}
		}
	}
}
