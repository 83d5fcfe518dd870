//go:build cgo && linux

package vulkan

import (
	"errors"

	"ufm/moe"
	"ufm/vk"
)

// textKernels are the pipelines around the experts.
type textKernels struct {
	embed, addAttention, addExperts *vk.Pipeline // of residual.comp
	rope, merge, likeliest          *vk.Pipeline
	token                           *vk.Pipeline    // for one token, all of it
	attend                          [2]*vk.Pipeline // for few tokens, for many
	qkv, out, head                  dense
	compiled                        kernels
}

// dense is a product by a pipeline for each class of rows.
type dense struct {
	pipelines       []*vk.Pipeline
	inputs, outputs int
	matrix          product // for many rows, on the matrix units, if there are
}

const (
	ropeThreads    = 64
	mergeThreads   = 64
	attendThreads  = 64
	maxHeadDim     = 4 * attendThreads // a thread takes four dimensions
	maxAttendHeads = 8                 // query heads of a workgroup
	maxAttendRows  = 16                // heads × tokens of a workgroup
	maxParts       = 8                 // of a product; as in token.comp
)

// choose sets what suits a device. A CPU driver needs hardly any workgroups, and takes more
// so that it does what GPUs do.
func (s *textSizes) choose(info vk.DeviceInfo) {
	s.tuning = newTuning(info)
	if info.Kind == cpuKind {
		s.enough, s.minPart, s.rowThreads = 4, 32, 64
		s.tilings = []tiling{
			{rows: 1, threads: 64, lanes: 32, staged: 256},
			{rows: 8, threads: 64, lanes: 32, staged: 256},
		}
		return
	}
	s.enough, s.minPart, s.rowThreads = 512, 256, 512
	s.tilings = []tiling{
		{rows: 1, threads: 256, lanes: 32, staged: 512},
		{rows: 2, threads: 256, lanes: 32, staged: 512},
		{rows: 4, threads: 128, lanes: 32, staged: 512},
		{rows: 8, threads: 128, lanes: 32, staged: 512},
		{rows: 16, threads: 256, lanes: 32, staged: 256},
	}
}

// textKey is what the kernels depend on.
type textKey struct {
	d, row, width, vocab, headDim, perKey int
	tokens                                int
	dtype                                 moe.DType
	shape                                 moe.Shape // of one layer
}

// textKernelsFor returns the kernels for a model; runners of models alike share them.
func (b *backend) textKernelsFor(s textSizes) (*textKernels, error) {
	shape := s.shape
	shape.Layers = 1
	key := textKey{s.d, s.row, s.width, s.vocab, s.HeadDim, s.perKey(), s.tokens, s.dtype, shape}
	if k := b.texts[key]; k != nil {
		return k, nil
	}
	k, err := newTextKernels(b, s)
	if err == nil {
		b.texts[key] = k
	}
	return k, err
}

func newTextKernels(dev *backend, s textSizes) (*textKernels, error) {
	k := &textKernels{}
	b := builder{device: dev.device, kernels: &k.compiled}
	threads, d := uint32(s.rowThreads), uint32(s.d)
	k.embed = b.pipeline("embed_"+s.dtype.String(), pushResidual{}, threads, d)
	k.addAttention = b.pipeline("add_attention", pushResidual{}, threads, d)
	k.addExperts = b.pipeline("add_experts", pushResidual{}, threads, d, uint32(s.TopK))
	k.rope = b.pipeline("rope", pushRope{}, ropeThreads)
	k.merge = b.pipeline("merge", pushMerge{}, mergeThreads)
	k.likeliest = b.pipeline("likeliest", pushLikeliest{}, likeliestThreads)
	if s.single(dev) {
		k.token = b.token("token", s.shape, s.HeadDim, s.tokenHeads(), max(mostInputs, s.d))
	}
	for i, tokens := range s.attendTokens() {
		if i == 0 || tokens != s.attendTokens()[0] {
			k.attend[i] = b.pipeline("attend", pushAttend{}, attendThreads,
				uint32(s.HeadDim), uint32(s.attendHeads()), uint32(tokens), 1)
		}
	}
	shared := map[[5]int]*vk.Pipeline{}
	k.qkv = b.dense(s, s.d, s.width, shared)
	k.out = b.dense(s, s.row, s.d, shared)
	k.head = b.dense(s, s.d, s.vocab, shared)
	if s.matrixRows > 0 {
		for _, p := range []*dense{&k.qkv, &k.out} {
			p.matrix = product{inputs: p.inputs, outputs: p.outputs}
			b.matrix(&p.matrix, "down_"+s.dtype.String(), s.matrixTiling(dev))
		}
	}
	if b.err != nil {
		return nil, errors.Join(b.err, k.compiled.Close())
	}
	return k, nil
}

// dense compiles a product for every class of rows that a batch can need.
func (b *builder) dense(s textSizes, inputs, outputs int, shared map[[5]int]*vk.Pipeline) dense {
	p := dense{inputs: inputs, outputs: outputs}
	for i, t := range s.tilings {
		if i > 0 && s.tilings[i-1].rows >= s.tokens {
			break
		}
		t = s.denseTiling(i, inputs, outputs)
		vec4s := max((t.rows+3)/4*t.staged, 4*t.threads)
		spec := [5]int{t.threads, t.rows, t.lanes, t.staged, vec4s}
		if shared[spec] == nil {
			shared[spec] = b.pipeline("dense_"+s.dtype.String(), pushDense{},
				uint32(t.threads), uint32(t.rows), uint32(t.lanes), uint32(t.staged), uint32(vec4s))
		}
		p.pipelines = append(p.pipelines, shared[spec])
	}
	return p
}

// denseTiling is the tiling of class i for a product of this size: fewer lanes to an
// output tile where a batch of one tile would leave the device idle.
func (s *textSizes) denseTiling(i, inputs, outputs int) tiling {
	t := s.tilings[i]
	if i+1 < len(s.tilings) {
		for t.lanes > 8 && over(outputs, 4*t.lanes) < s.enough {
			t.lanes /= 2
		}
	}
	t.staged = max(t.threads/t.lanes*step, min(t.staged, (inputs+63)/64*64))
	return t
}

// class is the index of the tiling for so many rows.
func (s *textSizes) class(rows int) int {
	for i, t := range s.tilings {
		if rows <= t.rows {
			return i
		}
	}
	return len(s.tilings) - 1
}

// split tells how a product of so many rows is dispatched: its class, the workgroups that
// cover its outputs and rows, and the parts that share its inputs, which depend on nothing
// but the rows.
func (s *textSizes) split(rows, inputs, outputs int) (class, x, y, parts, part int) {
	class = s.class(rows)
	t := s.denseTiling(class, inputs, outputs)
	x, y = over(outputs, 4*t.lanes), over(rows, t.rows)
	parts = min(maxParts, over(inputs, s.minPart), over(s.enough, x*y))
	part = pad8(over(inputs, max(parts, 1)))
	return class, x, y, over(inputs, part), part
}

// partRows is the most rows that the parts of a product take, over all batches.
func (s *textSizes) partRows(inputs, outputs int) int64 {
	most := 0
	for rows := 1; rows <= s.tokens; rows++ {
		_, _, _, parts, _ := s.split(rows, inputs, outputs)
		most = max(most, parts*rows)
	}
	return int64(most)
}

// perKey is the number of query heads that share a key head.
func (s *textSizes) perKey() int { return s.Heads / s.KVHeads }

// attendHeads is the number of query heads of a workgroup: they share a key head.
func (s *textSizes) attendHeads() int {
	n := min(s.perKey(), maxAttendHeads)
	for s.perKey()%n != 0 {
		n--
	}
	return n
}

// attendTokens are the tokens of a workgroup, for few tokens and for many.
func (s *textSizes) attendTokens() [2]int {
	return [2]int{1, max(1, min(maxAttendRows/s.attendHeads(), s.tokens))}
}

// attention tells how the attention of so many tokens is dispatched: the variant, and the
// workgroups over heads and tokens.
func (s *textSizes) attention(tokens int) (variant, x, y int) {
	blocks := s.attendTokens()
	if blocks[1] > blocks[0] && tokens >= blocks[1] {
		variant = 1
	}
	return variant, s.Heads / s.attendHeads(), over(tokens, blocks[variant])
}

// past tells into how many splits of which span a past is cut that so many workgroups see
// and that is read in blocks.
func (s *textSizes) past(positions, groups, block int) (splits, span int) {
	blocks := over(positions, block)
	splits = max(1, min(blocks, maxSplits, s.enoughAttention()/groups))
	span = over(blocks, splits) * block
	return over(positions, span), span
}

// enoughAttention is the number of workgroups of attention that keep the device busy.
func (s *textSizes) enoughAttention() int { return max(s.enough/2, 16) }

// splitRows bounds the rows of heads and tokens that the splits of a step have. A single token has
// some even where its past is not split.
func (s *textSizes) splitRows() int64 {
	several := s.enoughAttention() * s.attendHeads() * s.attendTokens()[1]
	return int64(max(several, s.tokenSplits()*s.Heads))
}
