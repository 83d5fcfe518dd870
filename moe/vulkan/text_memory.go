//go:build cgo && linux

package vulkan

import (
	"errors"

	"ufm/moe"
	"ufm/vk"
)

// textSizes is what kernels and buffers around the experts are sized by.
type textSizes struct {
	moe.Config
	tilings []tiling  // of dense products, ascending in rows
	enough  int       // workgroups that keep the device busy
	minPart int       // inputs of a part of a product, at least
	shape   moe.Shape // of the experts
	dtype   moe.DType // of the matrices outside them
	tokens  int       // of a batch, at most
	context int
	logits  int // rows of logits at a time
	d       int // d_model, padded as in moe.Layout
	row     int // heads × head_dim, padded
	width   int // (heads + 2 × kv_heads) × head_dim, padded
	vocab   int // padded

	rowThreads int // of a workgroup that has a token's row of the residual stream
	matrixRows int // of a tile of a dense product on the matrix units; 0: there are none
	tuning     tuning
}

// single reports whether a single token has a kernel of its own.
func (s *textSizes) single(b *backend) bool {
	return s.d <= maxParts*mostInputs && // parts of squares
		s.partHeads() <= s.tuning.threads &&
		b.runsTokens(s.shape, s.HeadDim, s.tokenHeads(), max(mostInputs, s.d))
}

// maxLogits bounds the rows of logits at a time: a vocabulary has over a hundred thousand.
const maxLogits = 16

func newTextSizes(b *backend, cfg moe.TextConfig, m moe.TextModel) textSizes {
	c := m.Config()
	s := textSizes{
		Config: c, shape: cfg.Run.Shape, dtype: m.DenseDType(),
		tokens: cfg.Run.MaxTokens, context: cfg.Context,
		logits: min(max(cfg.Logits, 1), cfg.Run.MaxTokens, maxLogits),
		d:      pad8(c.DModel), row: pad8(c.Heads * c.HeadDim),
		width: pad8((c.Heads + 2*c.KVHeads) * c.HeadDim), vocab: pad8(c.Vocab),
	}
	s.choose(b.device.Info())
	if s.tokens >= minMatrixRows {
		s.matrixRows = s.matrixTiling(b).rows
	}
	return s
}

// pad8 pads as moe.Layout does.
func pad8(n int) int { return (n + 7) &^ 7 }

// matrixBytes is the size of a dense matrix in the kernels' layout.
func (s *textSizes) matrixBytes(inputs, outputs int) int64 {
	return int64(inputs) * int64(outputs) * int64(s.dtype.Size())
}

// textMemory is everything around the experts that is on the device or for it.
type textMemory struct {
	taker

	// Weights. Matrices are laid out as moe.Layout lays out those of experts.
	qkv       []*vk.Buffer // by layer: (d, width): queries, keys and values side by side
	out       []*vk.Buffer // by layer: (row, d)
	embedding *vk.Buffer   // (d, vocab)
	head      *vk.Buffer   // (d, vocab); may be the embedding
	vectors   *vk.Buffer   // see vectorAt
	turns     *vk.Buffer   // (context, head_dim/2, 2): cosine and sine

	// The cache of keys and values.
	keys, values []*vk.Buffer // by layer: (kv_heads, context, head_dim)

	// Activations. Products come in parts that their readers add up.
	h           *vk.Buffer // (tokens, d): the residual stream before attention
	mid         *vk.Buffer // (tokens, d): after it
	projected   *vk.Buffer // (parts, tokens, width)
	q           *vk.Buffer // (tokens, heads, head_dim)
	attended    *vk.Buffer // (tokens, row)
	added       *vk.Buffer // (parts, tokens, d)
	splits      *vk.Buffer // (splits, tokens, heads, head_dim)
	states      *vk.Buffer // (splits, tokens, heads, 2)
	nextLogits  *vk.Buffer // (tokens, experts): of the next layer's gate
	nextWeights *vk.Buffer // (tokens, top_k)
	squares     *vk.Buffer // (parts): of a single token's residual stream
	ownLogits   *vk.Buffer // (vocab): of a token whose successor the device finds
	peaks       *vk.Buffer // Peaks of likeliest.comp
	gathered    *vk.Buffer // (tokens, d or row), in parts: what a product on the matrix units reads

	// On the host, for the device to read or write.
	ids       *vk.Buffer // (context + 1): of the sequence
	rows      *vk.Buffer // (quads, 4): tokens
	tiles     *vk.Buffer // (tiles): of the rows of a batch
	logits    *vk.Buffer // (rows, vocab)
	experts   *vk.Buffer // (layers, tokens, top_k), or of single tokens (sets, layers, top_k)
	weights   *vk.Buffer // likewise
	predicted *vk.Buffer // (layers, tokens, top_k)
}

func newTextMemory(d *vk.Device, s textSizes) (*textMemory, error) {
	m := &textMemory{taker: taker{device: d}}
	m.takeWeights(s)
	m.takeCache(s)
	m.takeActivations(s)
	if m.err != nil {
		return nil, errors.Join(m.err, m.Close())
	}
	return m, nil
}

func (m *textMemory) takeWeights(s textSizes) {
	for range s.Layers {
		m.qkv = append(m.qkv, m.new(vk.DeviceLocal, s.matrixBytes(s.d, s.width)))
		m.out = append(m.out, m.new(vk.DeviceLocal, s.matrixBytes(s.row, s.d)))
	}
	m.embedding = m.new(vk.DeviceLocal, s.matrixBytes(s.d, s.vocab))
	m.head = m.embedding
	if !s.TiedEmbeddings {
		m.head = m.new(vk.DeviceLocal, s.matrixBytes(s.d, s.vocab))
	}
	m.vectors = m.new(vk.DeviceLocal, s.vectorBytes())
	m.turns = m.new(vk.DeviceLocal, 4*int64(s.context)*int64(s.HeadDim))
}

func (m *textMemory) takeCache(s textSizes) {
	each := 4 * int64(s.KVHeads) * int64(s.context) * int64(s.HeadDim)
	for range s.Layers {
		m.keys = append(m.keys, m.new(vk.DeviceLocal, each))
		m.values = append(m.values, m.new(vk.DeviceLocal, each))
	}
}

func (m *textMemory) takeActivations(s textSizes) {
	tokens, d := int64(s.tokens), int64(s.d)
	choices := 4 * int64(s.Layers) * max(tokens, tokenSets) * int64(s.TopK)
	splitRows := s.splitRows()
	m.h = m.new(vk.DeviceLocal, 4*tokens*d)
	m.mid = m.new(vk.DeviceLocal, 4*tokens*d)
	qkv, out := s.cuts(s.tuning)
	m.projected = m.new(vk.DeviceLocal, 4*max(s.partRows(s.d, s.width)*int64(s.width), qkv.values()))
	m.q = m.new(vk.DeviceLocal, 4*tokens*int64(s.Heads*s.HeadDim))
	m.attended = m.new(vk.DeviceLocal, 4*tokens*int64(s.row))
	m.added = m.new(vk.DeviceLocal, 4*max(s.partRows(s.row, s.d)*d, out.values()))
	m.splits = m.new(vk.DeviceLocal, 4*splitRows*int64(s.HeadDim))
	m.states = m.new(vk.DeviceLocal, 8*splitRows)
	m.nextLogits = m.new(vk.DeviceLocal, 4*tokens*int64(s.Experts))
	m.squares = m.new(vk.DeviceLocal, 4*maxParts)
	m.nextWeights = m.new(vk.DeviceLocal, 4*tokens*int64(s.TopK))

	if s.matrixRows > 0 {
		quads := (tokens + 3) / 4
		m.gathered = m.new(vk.DeviceLocal, partBytes(quads, max(s.d, s.row)))
		m.rows = m.new(vk.DeviceMapped, 16*quads)
		m.tiles = m.new(vk.DeviceMapped, tileBytes*int64(over(s.tokens, s.matrixRows)))
	}

	m.ownLogits = m.new(vk.DeviceLocal, 4*int64(s.vocab))
	m.peaks = m.new(vk.DeviceLocal, peaksBytes)
	m.ids = m.new(vk.HostCached, 4*int64(s.context+1))
	m.logits = m.new(vk.HostCached, 4*int64(s.logits)*int64(s.vocab))
	m.experts = m.new(vk.HostCached, choices)
	m.weights = m.new(vk.HostCached, choices)
	m.predicted = m.new(vk.HostCached, choices)
}

// vector is a kind of weight that every layer has one of, at a place in a layer's part of
// the vectors.
type vector struct {
	kind moe.DenseKind
	at   int // float32 values from the start of the layer's
	n    int
}

// vectorsOf lists a layer's vectors and how many values they take together.
func (s *textSizes) vectorsOf() (list []vector, total int) {
	for _, kind := range []moe.DenseKind{
		moe.AttentionNorm, moe.MoENorm, moe.QueryNorm, moe.KeyNorm,
	} {
		n, _ := s.DenseShape(kind)
		list = append(list, vector{kind, total, n})
		total += max(pad8(n), 8)
	}
	return list, total
}

// vectorBytes covers all layers and the final norm behind them.
func (s *textSizes) vectorBytes() int64 {
	_, each := s.vectorsOf()
	return 4 * (int64(s.Layers)*int64(each) + int64(s.d))
}

// vectorAt is the address of a layer's vector, or, past the last layer, of the final norm
// as if it were the next layer's AttentionNorm.
func (x *text) vectorAt(kind moe.DenseKind, layer int) uint64 {
	list, each := x.sizes.vectorsOf()
	at := layer * each
	for _, v := range list {
		if v.kind == kind {
			at += v.at
		}
	}
	return x.dense.vectors.Address() + uint64(4*at)
}
