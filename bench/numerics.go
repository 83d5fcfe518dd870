package bench

import (
	"context"
	"errors"
	"fmt"
	"io"

	"ufm/moe"
	"ufm/pager"
)

// Numeric sets one tensor that a backend computed beside its float64 reference.
type Numeric struct {
	Backend   string   `json:"backend"`
	Form      string   `json:"form"`
	DType     string   `json:"dtype"`
	Tokens    int      `json:"tokens"`
	Layer     int      `json:"layer"`
	Tensor    string   `json:"tensor"` // input, experts, weights or output
	Values    int      `json:"values"`
	Different *int     `json:"different"` // of experts: ids that are not the reference's
	NMSE      *float64 `json:"nmse"`
	MaxAbsErr *float64 `json:"max_abs_err"`
	Tolerance float64  `json:"tolerance"` // of nmse
	OK        bool     `json:"ok"`
}

// numericTokens are the steps that are compared: a few rows an expert, one, and many.
var numericTokens = []int{5, 1, 96}

// Numerics runs a small synthetic model, of every form and storage type, on b with half
// of its experts in memory, and compares each tensor that the backend can capture with
// the float64 reference: what each layer was given, the choice, its weights, the output.
func Numerics(ctx context.Context, b moe.Backend, seed uint64) ([]Numeric, error) {
	var list []Numeric
	for form := range moe.SwiGLU + 1 {
		for dtype := range moe.BF16 + 1 {
			shape := moe.Shape{
				Layers: 3, Experts: 12, DModel: 72, DHidden: 136, TopK: 3,
				Form: form, DType: dtype, NormTopK: form == moe.SwiGLU,
			}
			some, err := numericsOf(ctx, b, shape, seed)
			if err != nil {
				return list, fmt.Errorf("bench: numerics of %s in %s: %w", form, dtype, err)
			}
			list = append(list, some...)
		}
	}
	return list, nil
}

func numericsOf(
	ctx context.Context, b moe.Backend, s moe.Shape, seed uint64,
) (list []Numeric, err error) {
	model, err := moe.NewSynthetic(s, seed)
	if err != nil {
		return nil, err
	}
	runner, err := b.NewRunner(moe.RunConfig{
		Shape: s, Mode: moe.UFM, Slots: s.Layers * s.Experts / 2, MaxTokens: 96, Exact: true,
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, runner.Close()) }()
	bank, err := b.NewBank(ctx, model, nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, runner.Close(), bank.Close()) }()
	if err := runner.Attach(ctx, bank); err != nil {
		return nil, err
	}
	for step, tokens := range numericTokens {
		batch := newNumericBatch(s, step, tokens, seed)
		if _, err := runner.Step(ctx, batch); err != nil {
			return nil, err
		}
		for l := range s.Layers {
			some, err := compareLayer(model, batch, l)
			if err != nil {
				return nil, err
			}
			list = append(list, some...)
		}
	}
	for i := range list {
		n := &list[i]
		n.Backend, n.Form, n.DType = b.Name(), s.Form.String(), s.DType.String()
	}
	return list, nil
}

func newNumericBatch(s moe.Shape, step, tokens int, seed uint64) *moe.Batch {
	rows := s.Layers * tokens
	return &moe.Batch{
		Step: step, Tokens: tokens, Phase: pager.Prefill,
		Input: moe.SyntheticInput(tokens, s.DModel, seed+uint64(step)),
		Capture: &moe.Capture{
			Input: make([]float32, rows*s.DModel), Output: make([]float32, rows*s.DModel),
			Experts: make([]uint32, rows*s.TopK), Weights: make([]float32, rows*s.TopK),
		},
	}
}

// compareLayer recomputes one layer from the input that it was given.
func compareLayer(m moe.Model, b *moe.Batch, l int) ([]Numeric, error) {
	s, c := m.Shape(), b.Capture
	width, k := b.Tokens*s.DModel, b.Tokens*s.TopK
	input := c.Input[l*width:][:width]
	want, err := moe.Reference(m, l, input, moe.ByRouter, nil)
	if err != nil {
		return nil, err
	}
	given := numeric(b, l, "input", moe.Compare(input, referenceInput(s, b, l), s.DModel), width)
	different := 0
	for i, e := range c.Experts[l*k:][:k] {
		if e != want.Experts[i] {
			different++
		}
	}
	choice := Numeric{
		Tokens: b.Tokens, Layer: l, Tensor: "experts", Values: k, Different: &different,
		OK: different == 0,
	}
	weights := numeric(b, l, "weights", moe.Compare(c.Weights[l*k:][:k], want.Weights, s.TopK), k)
	output := numeric(b, l, "output",
		moe.Compare(c.Output[l*width:][:width], want.Output, s.DModel), width)
	return []Numeric{given, choice, weights, output}, nil
}

func numeric(b *moe.Batch, layer int, tensor string, d moe.Difference, values int) Numeric {
	return Numeric{
		Tokens: b.Tokens, Layer: layer, Tensor: tensor, Values: values,
		NMSE: &d.NMSE, MaxAbsErr: &d.MaxAbs, Tolerance: maxNMSE, OK: d.NMSE <= maxNMSE,
	}
}

// referenceInput is what a layer had to be given: the step's input, or what the layer
// before made of its own.
func referenceInput(s moe.Shape, b *moe.Batch, l int) []float64 {
	width := b.Tokens * s.DModel
	want := make([]float64, 0, width)
	if l == 0 {
		for _, v := range b.Input {
			want = append(want, float64(v))
		}
		return want
	}
	row := make([]float64, s.DModel)
	for t := range b.Tokens {
		at := (l-1)*width + t*s.DModel
		for i := range row {
			row[i] = float64(b.Capture.Input[at+i]) + float64(b.Capture.Output[at+i])
		}
		want = append(want, moe.RMSNorm(row)...)
	}
	return want
}

var numericColumns = []column[Numeric]{
	{"form", func(n Numeric) string { return n.Form }, true},
	{"dtype", func(n Numeric) string { return n.DType }, true},
	{"tokens", func(n Numeric) string { return integer(n.Tokens) }, false},
	{"layer", func(n Numeric) string { return integer(n.Layer) }, false},
	{"tensor", func(n Numeric) string { return n.Tensor }, true},
	{"values", func(n Numeric) string { return integer(n.Values) }, false},
	{"different", func(n Numeric) string { return show(n.Different, integer[int]) }, false},
	{"nmse", func(n Numeric) string { return show(n.NMSE, scientific) }, false},
	{"max error", func(n Numeric) string { return show(n.MaxAbsErr, scientific) }, false},
	{"within", func(n Numeric) string { return yes(n.OK) }, true},
}

func yes(is bool) string {
	if is {
		return "yes"
	}
	return "NO"
}

// WriteNumerics writes numerics as Write does rows.
func WriteNumerics(w io.Writer, format string, list []Numeric) error {
	return write(w, format, numericColumns, list)
}
