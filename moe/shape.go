package moe

import (
	"errors"
	"fmt"
	"math"
	"math/bits"

	"ufm/pager"
)

// Form is the function that an expert computes.
type Form uint8

// The forms; no biases in either.
const (
	GELU   Form = iota // W2·gelu(W1·x), tanh form
	SwiGLU             // down·(silu(gate·x)·(up·x))
)

// String is the name that flags and results use.
func (f Form) String() string { return [...]string{"gelu", "swiglu"}[f] }

// ParseForm reads a form's name.
func ParseForm(s string) (Form, error) {
	for f := GELU; f <= SwiGLU; f++ {
		if s == f.String() {
			return f, nil
		}
	}
	return 0, fmt.Errorf("moe: unknown form %q (gelu, swiglu)", s)
}

// DType is the storage type of expert weights. Accumulation is always float32.
type DType uint8

// The storage types.
const (
	F32 DType = iota
	F16
	BF16
)

// String is the name that flags and results use.
func (t DType) String() string { return [...]string{"f32", "f16", "bf16"}[t] }

// Size is the bytes of one value.
func (t DType) Size() int {
	if t == F32 {
		return 4
	}
	return 2
}

// ParseDType reads a storage type's name.
func ParseDType(s string) (DType, error) {
	for t := F32; t <= BF16; t++ {
		if s == t.String() {
			return t, nil
		}
	}
	return 0, fmt.Errorf("moe: unknown dtype %q (f32, f16, bf16)", s)
}

// Shape is everything about a model's MoE layers that arithmetic depends on.
type Shape struct {
	Layers   int
	Experts  int // per layer
	DModel   int
	DHidden  int
	TopK     int
	Form     Form
	DType    DType
	NormTopK bool // the chosen experts' probabilities are scaled to add up to 1
}

// Validate lists everything wrong with the shape.
func (s Shape) Validate() error {
	var errs []error
	for _, d := range []struct {
		name  string
		value int
	}{
		{"layers", s.Layers}, {"experts", s.Experts}, {"d-model", s.DModel},
		{"d-hidden", s.DHidden}, {"top-k", s.TopK},
	} {
		if d.value < 1 || d.value > math.MaxInt32 {
			errs = append(errs, fmt.Errorf("moe: %s must lie between 1 and %d, not %d",
				d.name, math.MaxInt32, d.value))
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	if s.TopK > s.Experts {
		errs = append(errs, fmt.Errorf("moe: top-k %d is above the %d experts of a layer", s.TopK, s.Experts))
	}
	if s.Form > SwiGLU {
		errs = append(errs, fmt.Errorf("moe: unknown form %d", s.Form))
	}
	if s.DType > BF16 {
		errs = append(errs, fmt.Errorf("moe: unknown dtype %d", s.DType))
	}
	hi, per := bits.Mul64(uint64(pad(s.DModel)), uint64(pad(s.DHidden)))
	if hi != 0 || per > 1<<40 {
		errs = append(errs, fmt.Errorf("moe: d-model %d × d-hidden %d overflows", s.DModel, s.DHidden))
		return errors.Join(errs...)
	}
	if hi, n := bits.Mul64(uint64(s.Layers), uint64(s.Experts)); hi != 0 || n >= math.MaxUint32 {
		errs = append(errs, fmt.Errorf("moe: %d layers × %d experts do not fit a 32-bit expert id", s.Layers, s.Experts))
	} else if hi, b := bits.Mul64(n, per*12+256); hi != 0 || b > math.MaxInt64 {
		errs = append(errs, fmt.Errorf("moe: the bank of %d experts of %d × %d overflows", n, s.DModel, s.DHidden))
	}
	return errors.Join(errs...)
}

// Paging is the part of the shape that the pager knows.
func (s Shape) Paging() pager.Shape {
	return pager.Shape{Layers: s.Layers, Experts: s.Experts, TopK: s.TopK}
}

// ExpertBytes is the size of one expert in the kernel layout, a multiple of 256.
func (s Shape) ExpertBytes() int64 { return NewLayout(s).Bytes }

// BankBytes is the size of all experts.
func (s Shape) BankBytes() int64 { return int64(s.Layers) * int64(s.Experts) * s.ExpertBytes() }

// ExpertFlops is the number of floating-point operations that one row costs in one expert.
func (s Shape) ExpertFlops() int64 {
	matrices := int64(2)
	if s.Form == SwiGLU {
		matrices = 3
	}
	return 2 * matrices * int64(s.DModel) * int64(s.DHidden)
}
