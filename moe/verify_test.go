package moe

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"

	"ufm/pager"
)

// captured is a correct step of a small model.
func captured(t *testing.T, routing []uint32) (Model, *Batch) {
	t.Helper()
	s := Shape{Layers: 2, Experts: 6, DModel: 16, DHidden: 16, TopK: 2}
	m := newTestModel(t, s)
	b, _ := run(t, m, 1, RunConfig{Mode: Baseline},
		Batch{Tokens: 3, Input: SyntheticInput(3, 16, 4), Routing: routing}, 1)
	verify(t, m, b)
	return m, b
}

// TestVerifyFindsPlantedErrors changes one value at a time of a correct capture.
func TestVerifyFindsPlantedErrors(t *testing.T) {
	m, b := captured(t, nil)
	c := b.Capture
	for name, plant := range map[string]*float32{
		"output of layer 0":            &c.Output[5],
		"output of layer 1, token 2":   &c.Output[48+40],
		"input of layer 1 and its own": &c.Input[48],
	} {
		good := *plant
		*plant += 0.01
		v, err := Verify(t.Context(), m, b)
		if err == nil && v.TokenNMSE < 1e-7 {
			t.Errorf("%s: got %+v, want it found", name, v)
		}
		*plant = good
	}
	c.Output[48+40] += 0.01
	if v, err := Verify(t.Context(), m, b); err != nil || v.Layer != 1 || v.Token != 2 {
		t.Errorf("output of layer 1, token 2: got %+v, %v", v, err)
	}
}

// TestVerifyChecksRouting replaces a chosen expert by one that was not.
func TestVerifyChecksRouting(t *testing.T) {
	m, b := captured(t, nil)
	ids := b.Capture.Experts[6+2 : 6+4] // layer 1, token 1
	old := ids[1]
	for ids[1] = 0; slices.Contains([]uint32{ids[0], old}, ids[1]); ids[1]++ {
	}
	_, err := Verify(t.Context(), m, b)
	var wrong *RoutingError
	if !errors.As(err, &wrong) || wrong.Layer != 1 || wrong.Token != 1 || wrong.Chosen != ids[1] {
		t.Errorf("got %v, want layer 1, token 1: expert %d is wrong", err, ids[1])
	}
}

// TestVerifyReplacedRouting takes any experts that the batch asked for, but no others.
func TestVerifyReplacedRouting(t *testing.T) {
	m, b := captured(t, []uint32{0, 1, 2, 3, 4, 5, 5, 4, 3, 2, 1, 0})
	b.Capture.Experts[0] = 2
	if v, err := Verify(t.Context(), m, b); err == nil && v.NMSE < 1e-7 {
		t.Errorf("another expert than asked for: got %+v, want it found", v)
	}
}

// interrupting is a model whose experts are asked for until the context ends.
type interrupting struct {
	Model
	cancel context.CancelFunc
	asked  atomic.Int64
}

func (m *interrupting) Expert(e pager.ExpertID) (Matrices, error) {
	m.asked.Add(1)
	m.cancel()
	return m.Model.Expert(e)
}

// TestVerifyIsInterrupted: the reference of a large model takes minutes.
func TestVerifyIsInterrupted(t *testing.T) {
	m, b := captured(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	i := &interrupting{Model: m, cancel: cancel}
	if _, err := Verify(ctx, i, b); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that it was cancelled", err)
	}
	if n := int(i.asked.Load()); n > runtime.GOMAXPROCS(0) {
		t.Errorf("%d experts were computed after the end", n)
	}
}

func TestVerifyNeedsCaptures(t *testing.T) {
	m, b := captured(t, nil)
	for name, c := range map[string]*Capture{
		"nothing": nil,
		"inputs":  {Input: b.Capture.Input, Output: b.Capture.Output},
	} {
		b.Capture = c
		if _, err := Verify(t.Context(), m, b); err == nil {
			t.Errorf("%s captured: no error", name)
		}
	}
}

func TestCompareLayers(t *testing.T) {
	c := &Capture{Output: []float32{1, 2, 3, 4, 5, 6, 7, 8}} // 2 layers, 2 tokens, d-model 2
	want := [][]float32{{1, 2, 3, 4}, {5, 6, 7, 9}}
	v, err := CompareLayers(c, want, 2)
	if err != nil {
		t.Fatal(err)
	}
	if v.Layer != 1 || v.Token != 1 || v.MaxAbs != 1 || v.NMSE != 1./191 || v.TokenNMSE != 1./130 {
		t.Errorf("got %+v", v)
	}
	for name, want := range map[string][][]float32{
		"three layers": {{1, 2, 3, 4}, {1}, {2}},
		"short layer":  {{1, 2, 3, 4}, {5, 6}},
		"no layers":    {},
	} {
		if _, err := CompareLayers(c, want, 2); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
