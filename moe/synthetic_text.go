package moe

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"ufm/pager"
)

// syntheticText is a TextModel of random weights that are computed, not stored.
type syntheticText struct {
	name   string
	config Config
	shape  Shape
	seed   uint64
}

// architectures are real models by name, as their config.json has them.
var architectures = map[string]Config{
	"qwen3-30b-a3b": {Architecture: "Qwen3MoeForCausalLM", Layers: 48, Experts: 128, TopK: 8,
		DModel: 2048, DHidden: 768, NormTopK: true, Vocab: 151936, Heads: 32, KVHeads: 4,
		HeadDim: 128, QueryKeyNorm: PerHead, MaxPositions: 40960, RopeTheta: 1e6, NormEps: 1e-6,
		EndOfText: []int{151645}},
	"mixtral-8x7b": {Architecture: "MixtralForCausalLM", Layers: 32, Experts: 8, TopK: 2,
		DModel: 4096, DHidden: 14336, NormTopK: true, Vocab: 32000, Heads: 32, KVHeads: 8,
		HeadDim: 128, MaxPositions: 32768, RopeTheta: 1e6, NormEps: 1e-5, EndOfText: []int{2}},
	"olmoe-1b-7b": {Architecture: "OlmoeForCausalLM", Layers: 16, Experts: 64, TopK: 8,
		DModel: 2048, DHidden: 1024, Vocab: 50304, Heads: 16, KVHeads: 16, HeadDim: 128,
		QueryKeyNorm: WholeRow, MaxPositions: 4096, RopeTheta: 1e4, NormEps: 1e-5,
		EndOfText: []int{50279}},
}

// SyntheticArchitectures lists what NewSyntheticText knows, in alphabetical order.
func SyntheticArchitectures() []string { return slices.Sorted(maps.Keys(architectures)) }

// NewSyntheticText returns a model with the shapes of a real one and random weights, so
// that speed on real sizes can be measured without a download. layers is how many it has;
// 0: all. Matrices are stored as dtype. Weights have mean 0, and a magnitude at which
// activations stay near 1; norms are near 1. The same seed gives the same model.
func NewSyntheticText(arch string, layers int, dtype DType, seed uint64) (TextModel, error) {
	c, known := architectures[arch]
	if !known {
		return nil, fmt.Errorf("moe: unknown architecture %q (known: %s)",
			arch, strings.Join(SyntheticArchitectures(), ", "))
	}
	if layers < 0 || layers > c.Layers {
		return nil, fmt.Errorf("moe: %d layers of %s: must lie between 1 and %d, or be 0 for all",
			layers, arch, c.Layers)
	}
	if layers > 0 {
		c.Layers = layers
	}
	return newSyntheticText(arch, c, dtype, seed)
}

func newSyntheticText(name string, c Config, dtype DType, seed uint64) (*syntheticText, error) {
	s := c.Shape(dtype)
	if err := s.Validate(); err != nil {
		return nil, err
	}
	return &syntheticText{name: name, config: c, shape: s, seed: seed}, nil
}

func (m *syntheticText) Name() string { return m.name }

func (m *syntheticText) Shape() Shape { return m.shape }

func (m *syntheticText) Config() Config { return m.config }

func (m *syntheticText) DenseDType() DType { return m.shape.DType }

func (m *syntheticText) FillExpert(e pager.ExpertID, dst []byte) error {
	if err := m.check(e); err != nil {
		return err
	}
	l := NewLayout(m.shape)
	if int64(len(dst)) != l.Bytes {
		return fmt.Errorf("moe: expert %d needs %d bytes, not %d", e, l.Bytes, len(dst))
	}
	m.expert(e, gateMatrix).fill(dst[l.Gate:], l.Hidden)
	m.expert(e, upMatrix).fill(dst[l.Up:], l.Hidden)
	m.expert(e, downMatrix).fill(dst[l.Down:], l.In)
	return nil
}

func (m *syntheticText) Expert(e pager.ExpertID) (Matrices, error) {
	if err := m.check(e); err != nil {
		return Matrices{}, err
	}
	return Matrices{
		Gate: m.expert(e, gateMatrix).values(),
		Up:   m.expert(e, upMatrix).values(),
		Down: m.expert(e, downMatrix).values(),
	}, nil
}

// Router returns a gate as a checkpoint would store it.
func (m *syntheticText) Router(layer int) ([]float32, error) {
	if layer < 0 || layer >= m.shape.Layers {
		return nil, fmt.Errorf("moe: layer %d outside the model's %d", layer, m.shape.Layers)
	}
	return m.router(layer).values(), nil
}

func (m *syntheticText) Dense(kind DenseKind, layer int) ([]float32, error) {
	out, in, err := m.denseShape(kind, layer)
	switch {
	case err != nil || out == 0:
		return nil, err
	case in == 1:
		return m.vector(kind, layer, out), nil
	}
	return m.matrix(kind, layer, out, in).values(), nil
}

func (m *syntheticText) FillDense(kind DenseKind, layer int, dst []byte) error {
	out, in, err := m.denseShape(kind, layer)
	if err != nil {
		return err
	}
	if want := out * in * m.shape.DType.Size(); in < 2 || len(dst) != want {
		return fmt.Errorf("moe: matrix %s has %d bytes, the buffer %d",
			kind.tensor(layer), want, len(dst))
	}
	m.matrix(kind, layer, out, in).natural(dst)
	return nil
}

func (m *syntheticText) denseShape(kind DenseKind, layer int) (out, in int, err error) {
	if kind > Head || kind.PerLayer() && (layer < 0 || layer >= m.shape.Layers) {
		return 0, 0, fmt.Errorf("moe: no dense weight %d of layer %d", kind, layer)
	}
	out, in = m.config.DenseShape(kind)
	return out, in, nil
}

// vector is a norm's weights: 1 give or take a quarter.
func (m *syntheticText) vector(kind DenseKind, layer, n int) []float32 {
	g := m.matrix(kind, layer, 2, n+n%2)
	v := g.values()[:n]
	unit := float32(math.Ldexp(1, g.exponent()))
	for i, w := range v {
		v[i] = stored(1+w/unit/16, m.shape.DType)
	}
	return v
}

// Each matrix has a number of its own, by which the hash tells it from all others:
// (expert, matrix), then routers, then dense weights by layer and kind.

func (m *syntheticText) expert(e pager.ExpertID, matrix int) randomMatrix {
	out, in := m.shape.DHidden, m.shape.DModel
	if matrix == downMatrix {
		out, in = in, out
	}
	return newRandomMatrix(m.seed, 4*uint64(e)+uint64(matrix), m.shape.DType, out, in)
}

func (m *syntheticText) router(layer int) randomMatrix {
	return newRandomMatrix(m.seed, 1<<40+uint64(layer), m.shape.DType, m.shape.Experts, m.shape.DModel)
}

func (m *syntheticText) matrix(kind DenseKind, layer, out, in int) randomMatrix {
	if !kind.PerLayer() {
		layer = 0
	}
	if kind == Head && m.config.TiedEmbeddings {
		kind = Embedding
	}
	id := 1<<41 + uint64(layer)*uint64(Head+1) + uint64(kind)
	g := newRandomMatrix(m.seed, id, m.shape.DType, out, in)
	if kind == Embedding {
		g.fanIn = 1 // rows are looked up, not added up
	}
	return g
}

func (m *syntheticText) check(e pager.ExpertID) error {
	if n := m.shape.Paging().Universe(); int64(e) >= int64(n) {
		return fmt.Errorf("moe: expert %d outside the model's %d", e, n)
	}
	return nil
}

var _ TextModel = (*syntheticText)(nil)
