package bench

import (
	"context"
	"errors"
	"fmt"
	"math"

	"ufm/moe"
)

// Tolerances. Weights are exact in float32, so that only the order of summation differs
// from a reference, but where activations are rounded to 16 bits.
const (
	maxNMSE           = 1e-11 // of a layer
	maxTokenNMSE      = 1e-10 // of one token in a layer
	maxRoundedNMSE    = 1e-5
	maxRoundedOfToken = 1e-4
)

// judgement is how far outputs are from their references: the worst layer's figures.
// Nil was not asked for.
type judgement struct {
	nmse, maxAbs *float64
}

// check compares what each mode computes in its first steps with references, and with
// what the first mode computed, bit for bit.
type check struct {
	spec  *Spec
	shape moe.Shape
	steps int // at the start of each mode that are captured; 0: nothing to check

	rounded  bool // activations were, in what is compared
	by       moe.Mode
	captures []*moe.Capture // of mode by, by step; nil before it
	verdict  judgement
	err      error
}

// newCheck captures as many steps as it takes to see every recorded token once.
func newCheck(s *Spec) *check {
	c := &check{spec: s, shape: s.Model.Shape()}
	if s.Verify {
		c.steps = 1
	}
	if a := s.Activations; a != nil {
		c.steps = (a.Tokens + s.Tokens - 1) / s.Tokens
	}
	return c
}

// newCapture receives everything that a step computes.
func (c *check) newCapture() *moe.Capture {
	rows := c.shape.Layers * c.spec.Tokens
	return &moe.Capture{
		Input:   make([]float32, rows*c.shape.DModel),
		Output:  make([]float32, rows*c.shape.DModel),
		Experts: make([]uint32, rows*c.shape.TopK),
		Weights: make([]float32, rows*c.shape.TopK),
	}
}

// judge compares a mode's captures. The references are computed once: other modes must
// give the same bits, and are as good then.
func (c *check) judge(
	ctx context.Context, mode moe.Mode, runner moe.Runner, captures []*moe.Capture,
) (judgement, error) {
	if r, ok := runner.(moe.Rounder); ok {
		c.rounded = r.Rounded()
	}
	if c.steps == 0 {
		return judgement{}, nil
	}
	if c.captures == nil {
		c.by, c.captures = mode, captures
		c.verdict, c.err = c.compare(ctx)
		return c.verdict, c.err
	}
	if err := c.sameBits(mode, captures); err != nil {
		return judgement{}, err
	}
	return c.verdict, c.err
}

// sameBits finds the first output that differs from the first mode's.
func (c *check) sameBits(mode moe.Mode, captures []*moe.Capture) error {
	for step, capture := range captures {
		want := c.captures[step].Output
		for i, got := range capture.Output {
			if math.Float32bits(got) == math.Float32bits(want[i]) {
				continue
			}
			row := i / c.shape.DModel
			return fmt.Errorf("bench: %s: step %d, layer %d, token %d: output %d is %v, in %s it is %v",
				mode, step, row/c.spec.Tokens, row%c.spec.Tokens, i%c.shape.DModel,
				got, c.by, want[i])
		}
	}
	return nil
}

// compare sets the captures against every reference that was asked for. The figures
// come with the error if they are out of tolerance.
func (c *check) compare(ctx context.Context) (judgement, error) {
	var all moe.Difference
	var errs []error
	if c.spec.Verify {
		r, err := c.verify(ctx)
		if err != nil {
			return judgement{}, err
		}
		errs = append(errs, c.tolerate("the float64 reference", r))
		all = r.Difference
	}
	if a := c.spec.Activations; a != nil {
		r, err := moe.CompareLayers(c.inOrder(), a.Output, c.shape.DModel)
		if err != nil {
			return judgement{}, err
		}
		errs = append(errs, c.tolerate("the recording", r))
		all.NMSE, all.MaxAbs = max(all.NMSE, r.NMSE), max(all.MaxAbs, r.MaxAbs)
	}
	return judgement{nmse: &all.NMSE, maxAbs: &all.MaxAbs}, errors.Join(errs...)
}

// verify recomputes the first step in float64.
func (c *check) verify(ctx context.Context) (moe.VerifyResult, error) {
	b, err := newFeed(c.spec).next(0)
	if err != nil {
		return moe.VerifyResult{}, err
	}
	b.Capture = c.captures[0]
	return moe.Verify(ctx, c.spec.Model, b)
}

// tolerate is an error if outputs are farther from a reference than rounding explains.
func (c *check) tolerate(reference string, r moe.VerifyResult) error {
	layer, token := maxNMSE, maxTokenNMSE
	if c.rounded {
		layer, token = maxRoundedNMSE, maxRoundedOfToken
	}
	if r.NMSE <= layer && r.TokenNMSE <= token {
		return nil
	}
	return fmt.Errorf("bench: output differs from %s: NMSE %.2g of a layer, %.2g of a token "+
		"(layer %d, token %d), where rounding explains %.0e and %.0e; largest error %.2g",
		reference, r.NMSE, r.TokenNMSE, r.Layer, r.Token, layer, token, r.MaxAbs)
}

// inOrder gathers the outputs for the recorded tokens, each from the step that ran it
// first.
func (c *check) inOrder() *moe.Capture {
	d, tokens, recorded := c.shape.DModel, c.spec.Tokens, c.spec.Activations.Tokens
	rows := make([]float32, 0, c.shape.Layers*recorded*d)
	for l := range c.shape.Layers {
		for t := range recorded {
			from := (l*tokens + t%tokens) * d
			rows = append(rows, c.captures[t/tokens].Output[from:from+d]...)
		}
	}
	return &moe.Capture{Output: rows}
}
