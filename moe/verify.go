package moe

import (
	"context"
	"errors"
	"fmt"
	"math"

	"ufm/pager"
)

// VerifyResult is the worst of all layers.
type VerifyResult struct {
	Difference
	Layer int // the layer with the largest TokenNMSE
}

// RoutingError tells that a router did not choose its token's most likely experts.
type RoutingError struct {
	Layer, Token   int
	Chosen, Better uint32 // indexes within the layer
	Margin         float64
}

func (e *RoutingError) Error() string {
	return fmt.Sprintf("moe: verify layer %d, token %d: router chose expert %d, but the logit of "+
		"expert %d is %.3g higher", e.Layer, e.Token, e.Chosen, e.Better, e.Margin)
}

// Verify recomputes in float64 what a backend captured of step b, layer by layer:
// each output from the input and the experts that the layer had, and, where layers
// feed each other, each input from the layer before. Where the router chose, its
// choice must be a top-k in float64 too, up to the rounding of its logits. It takes long
// for large models; ctx ends it between two experts.
func Verify(ctx context.Context, m Model, b *Batch) (VerifyResult, error) {
	s, c := m.Shape(), b.Capture
	if c == nil || c.Input == nil || c.Output == nil || c.Experts == nil {
		return VerifyResult{}, errors.New("moe: verify needs captured inputs, outputs and experts")
	}
	var worst VerifyResult
	for l := range s.Layers {
		d, err := verifyLayer(ctx, m, b, l)
		if err != nil {
			return VerifyResult{}, fmt.Errorf("moe: verify layer %d: %w", l, err)
		}
		worst.take(d, l)
		if l > 0 && !b.PerLayer {
			worst.take(verifyInput(s, b, l), l)
		}
	}
	return worst, nil
}

// CompareLayers sets the captured outputs of all layers against recorded ones.
func CompareLayers(c *Capture, want [][]float32, dModel int) (VerifyResult, error) {
	if len(want) == 0 {
		return VerifyResult{}, errors.New("moe: nothing is recorded to compare with")
	}
	var worst VerifyResult
	for l, layer := range want {
		width := len(c.Output) / len(want)
		if len(layer) != width || len(layer)%dModel != 0 {
			return VerifyResult{}, fmt.Errorf("moe: layer %d: %d recorded values, but %d captured",
				l, len(layer), width)
		}
		worst.take(Compare(c.Output[l*width:][:width], layer, dModel), l)
	}
	return worst, nil
}

func (r *VerifyResult) take(d Difference, layer int) {
	if d.TokenNMSE > r.TokenNMSE {
		r.Layer = layer
	}
	r.Difference = r.worse(d)
}

func verifyLayer(ctx context.Context, m Model, b *Batch, layer int) (Difference, error) {
	s := m.Shape()
	width, k := b.Tokens*s.DModel, b.Tokens*s.TopK
	input := b.Capture.Input[layer*width:][:width]
	ids := b.Capture.Experts[layer*k:][:k]
	choice := Given
	if b.Routing != nil {
		choice = Replaced
	}
	want, err := Reference(bound{m, ctx}, layer, input, choice, ids)
	if err != nil {
		return Difference{}, err
	}
	if choice == Given {
		if err := verifyChoice(m, layer, input, ids); err != nil {
			return Difference{}, err
		}
	}
	return Compare(b.Capture.Output[layer*width:][:width], want.Output, s.DModel), nil
}

// bound is a model that ends with a context: the reference asks it for every expert.
type bound struct {
	Model
	ctx context.Context
}

func (m bound) Expert(e pager.ExpertID) (Matrices, error) {
	if err := m.ctx.Err(); err != nil {
		return Matrices{}, err
	}
	return m.Model.Expert(e)
}

// verifyInput compares a layer's input with RMSNorm(input + output) of the one before.
func verifyInput(s Shape, b *Batch, layer int) Difference {
	width := b.Tokens * s.DModel
	want := make([]float64, 0, width)
	row := make([]float64, s.DModel)
	for t := range b.Tokens {
		at := (layer-1)*width + t*s.DModel
		for i := range row {
			row[i] = float64(b.Capture.Input[at+i]) + float64(b.Capture.Output[at+i])
		}
		want = append(want, RMSNorm(row)...)
	}
	return Compare(b.Capture.Input[layer*width:][:width], want, s.DModel)
}

// verifyChoice checks that no expert left out has a higher logit than one chosen, by
// more than float32 sums may be off: a millionth of the products' magnitudes.
func verifyChoice(m Model, layer int, input []float32, ids []uint32) error {
	s := m.Shape()
	gate, err := m.Router(layer)
	if err != nil {
		return err
	}
	logits := make([]float64, s.Experts)
	for t := range len(input) / s.DModel {
		x, chosen := input[t*s.DModel:][:s.DModel], ids[t*s.TopK:][:s.TopK]
		referenceLogits(gate, x, logits)
		last := chosen[0]
		for _, e := range chosen {
			if logits[e] < logits[last] {
				last = e
			}
		}
		for e := range logits {
			margin := logits[e] - logits[last]
			if margin <= 0 || contains(chosen, uint32(e)) {
				continue
			}
			row := func(e int) []float32 { return gate[e*s.DModel:][:s.DModel] }
			if margin > 1e-6*(1+magnitude(row(e), x)+magnitude(row(int(last)), x)) {
				return &RoutingError{layer, t, last, uint32(e), margin}
			}
		}
	}
	return nil
}

// magnitude is Σ|a·b|, what the rounding error of a dot product grows with.
func magnitude(a, b []float32) float64 {
	sum := 0.0
	for i, v := range a {
		sum += math.Abs(float64(v) * float64(b[i]))
	}
	return sum
}
