package moe

import (
	"fmt"
	"math"
	"math/rand/v2"

	"ufm/pager"
)

// synthetic is a Model whose weights are computed, not stored: each is a hash of
// (seed, expert, matrix, in, out), so a bank of any size fills in parallel and any
// element can be had alone.
type synthetic struct {
	shape Shape
	seed  uint64
}

// The matrices of a model, as the hash tells them apart.
const (
	upMatrix = iota
	gateMatrix
	downMatrix
	routerMatrix
)

// NewSynthetic returns a model of shape s. Its weights are uniform with mean 0 and
// variance 1/fan-in, rounded to the storage type (to nearest, ties to even);
// router weights are float32.
func NewSynthetic(s Shape, seed uint64) (Model, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	return &synthetic{shape: s, seed: seed}, nil
}

// SyntheticInput is the input of layer 0, (tokens, d_model), drawn from N(0, 1).
func SyntheticInput(tokens, dModel int, seed uint64) []float32 {
	rng := rand.New(rand.NewPCG(mix64(seed), 0))
	x := make([]float32, tokens*dModel) // (tokens, d_model)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	return x
}

func (m *synthetic) Name() string { return "synthetic" }

func (m *synthetic) Shape() Shape { return m.shape }

func (m *synthetic) FillExpert(e pager.ExpertID, dst []byte) error {
	if err := m.check(e); err != nil {
		return err
	}
	l := NewLayout(m.shape)
	if int64(len(dst)) != l.Bytes {
		return fmt.Errorf("moe: expert %d needs %d bytes, not %d", e, l.Bytes, len(dst))
	}
	m.up(upMatrix, e).fill(dst[l.Up:], l.DType, l.Hidden)
	if m.shape.Form == SwiGLU {
		m.up(gateMatrix, e).fill(dst[l.Gate:], l.DType, l.Hidden)
	}
	m.down(e).fill(dst[l.Down:], l.DType, l.In)
	return nil
}

func (m *synthetic) Expert(e pager.ExpertID) (Matrices, error) {
	if err := m.check(e); err != nil {
		return Matrices{}, err
	}
	w := Matrices{
		Up:   m.up(upMatrix, e).natural(m.shape.DType),
		Down: m.down(e).natural(m.shape.DType),
	}
	if m.shape.Form == SwiGLU {
		w.Gate = m.up(gateMatrix, e).natural(m.shape.DType)
	}
	return w, nil
}

func (m *synthetic) Router(layer int) ([]float32, error) {
	if layer < 0 || layer >= m.shape.Layers {
		return nil, fmt.Errorf("moe: layer %d outside the model's %d", layer, m.shape.Layers)
	}
	g := newGenerator(m.seed, layer, routerMatrix, m.shape.DModel, m.shape.Experts)
	return g.natural(F32), nil
}

// up generates the first matrix of expert e or its gate: d_model to d_hidden.
func (m *synthetic) up(matrix int, e pager.ExpertID) generator {
	return newGenerator(m.seed, int(e), matrix, m.shape.DModel, m.shape.DHidden)
}

// down generates the last matrix of expert e: d_hidden to d_model.
func (m *synthetic) down(e pager.ExpertID) generator {
	return newGenerator(m.seed, int(e), downMatrix, m.shape.DHidden, m.shape.DModel)
}

func (m *synthetic) check(e pager.ExpertID) error {
	if n := m.shape.Paging().Universe(); int64(e) >= int64(n) {
		return fmt.Errorf("moe: expert %d outside the model's %d", e, n)
	}
	return nil
}

// uniformScale makes a 24-bit signed integer uniform with variance 1/fanIn.
func uniformScale(fanIn int) float32 {
	return float32(math.Sqrt(12/float64(fanIn)) / (1 << 24))
}
