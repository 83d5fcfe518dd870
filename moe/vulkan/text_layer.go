//go:build cgo && linux

package vulkan

import (
	"math"

	"ufm/moe"
	"ufm/vk"
)

// The forward pass of several tokens, in the order of the device's work; that of a single one
// is in text_single.go. What stands in brackets belongs to the experts' own files.
//
//	embed                          h, x = norm(h)
//	each layer: projection         x → queries, keys, values
//	            rope               norms and positions; keys and values to the cache
//	            attend, merge      → attended
//	            output projection  attended → added
//	            add attention      mid = h + added, x = norm(mid)
//	            [gate, top-k, grouping, experts]
//	            add experts        h = mid + Σ weight × expert, x = the next block's norm(h)
//	head                           x → logits
//
// x is the experts' memory.x: the router and the experts read it, too.

// recordBefore records everything of a layer before its router.
func (x *text) recordBefore(c *vk.Commands, l int) {
	m := x.dense
	parts := x.recordToOutput(c, l)
	p := x.residual(m.h, m.mid, x.vectorAt(moe.MoENorm, l))
	p.Added, p.N = m.added.Address(), uint32(parts)
	c.Dispatch(x.kernels.addAttention, pushBytes(p), x.tokens(), 1, 1)
	c.DispatchBarrier()
	if x.predict && l+1 < x.sizes.Layers {
		x.recordNextGate(c, l+1)
	}
}

// recordToOutput records a layer up to the output projection, whose parts it returns.
func (x *text) recordToOutput(c *vk.Commands, l int) (parts int) {
	if l == 0 {
		x.recordEmbedding(c)
	}
	m, k := x.dense, x.kernels
	parts = x.recordDense(c, &k.qkv, x.state(), 0, m.projected.Address(), m.qkv[l], x.tokens())
	c.DispatchBarrier()
	x.recordRope(c, l, parts)
	c.DispatchBarrier()
	x.recordAttention(c, l)
	c.DispatchBarrier()
	parts = x.recordDense(c, &k.out, m.attended, 0, m.added.Address(), m.out[l], x.tokens())
	c.DispatchBarrier()
	return parts
}

// recordAfter records everything of a layer after its experts, and after the last one the
// head.
func (x *text) recordAfter(c *vk.Commands, l int) {
	if x.one {
		x.recordAfterToken(c, l)
		return
	}
	c.DispatchBarrier()
	m, experts, k := x.dense, x.runner.memory, x.kernels
	p := x.residual(m.mid, m.h, x.vectorAt(moe.AttentionNorm, l+1))
	p.Added, p.Index, p.Weights = experts.y.Address(), experts.position.Address(), experts.weights.Address()
	c.Dispatch(k.addExperts, pushBytes(p), x.tokens(), 1, 1)
	rows := len(x.batch.Logits) / x.sizes.Vocab
	last := l+1 == x.sizes.Layers
	switch {
	case x.batch.Experts != nil || x.batch.Weights != nil:
		c.Barrier()
		x.recordChoice(c, l)
		c.Barrier()
	case last && rows == 0:
		c.Barrier() // the host reads what was chosen
	default:
		c.DispatchBarrier()
	}
	if last && rows > 0 {
		x.recordHead(c, 0, min(rows, x.sizes.logits))
	}
}

// recordChoice copies the choice of a layer's router to the host.
func (x *text) recordChoice(c *vk.Commands, l int) {
	n := int64(4 * x.tokens() * x.sizes.TopK)
	if x.batch.Experts != nil {
		c.Copy(x.dense.experts, int64(l)*n, x.runner.memory.ids, 0, n)
	}
	if x.batch.Weights != nil {
		c.Copy(x.dense.weights, int64(l)*n, x.runner.memory.weights, 0, n)
	}
}

// tokens is the number of tokens of the batch under way.
func (x *text) tokens() int { return len(x.batch.IDs) }

// state is (tokens, d): what the next block reads.
func (x *text) state() *vk.Buffer { return x.runner.memory.x }

// residual is what the kernels of the residual stream have in common.
func (x *text) residual(base, h *vk.Buffer, norm uint64) pushResidual {
	return pushResidual{
		Base: base.Address(), H: h.Address(), X: x.state().Address(), Norm: norm,
		DModel: uint32(x.sizes.DModel), Tokens: uint32(x.tokens()),
		Epsilon: float32(x.sizes.NormEps),
	}
}

// recordEmbedding starts the residual stream.
func (x *text) recordEmbedding(c *vk.Commands) {
	m := x.dense
	p := x.residual(m.h, m.h, x.vectorAt(moe.AttentionNorm, 0))
	p.Added, p.Index, p.N = m.embedding.Address(), m.ids.Address()+uint64(4*x.position), uint32(x.sizes.vocab)
	c.Dispatch(x.kernels.embed, pushBytes(p), x.tokens(), 1, 1)
	c.DispatchBarrier()
}

// recordDense records a product of rows of src, from byte at on, and returns its parts.
func (x *text) recordDense(c *vk.Commands, p *dense, src *vk.Buffer, at int64, dst uint64,
	weight *vk.Buffer, rows int) int {
	if len(p.matrix.pipelines) > 0 && x.onMatrices(rows) {
		x.recordMatrix(c, &p.matrix, src, dst, weight)
		return 1
	}
	class, groups, tiles, parts, part := x.sizes.split(rows, p.inputs, p.outputs)
	c.Dispatch(p.pipelines[class], pushBytes(pushDense{
		X: src.Address() + uint64(at), Dst: dst, Weight: weight.Address(),
		Rows: uint32(rows), Inputs: uint32(p.inputs), Outputs: uint32(p.outputs), Part: uint32(part),
	}), groups, tiles, parts)
	return parts
}

// recordRope records what comes between projection and attention.
func (x *text) recordRope(c *vk.Commands, l, parts int) {
	s, m := &x.sizes, x.dense
	c.Dispatch(x.kernels.rope, pushBytes(pushRope{
		QKV: m.projected.Address(), Q: m.q.Address(),
		Keys: m.keys[l].Address(), Values: m.values[l].Address(), Turns: m.turns.Address(),
		QNorm: x.vectorAt(moe.QueryNorm, l), KNorm: x.vectorAt(moe.KeyNorm, l),
		Heads: uint32(s.Heads), KVHeads: uint32(s.KVHeads), Dim: uint32(s.HeadDim),
		Tokens: uint32(x.tokens()), Parts: uint32(parts), Width: uint32(s.width),
		Position: uint32(x.position), Context: uint32(s.context),
		Norm: ropeNorm(s.QueryKeyNorm), Epsilon: float32(s.NormEps),
	}), s.Heads+2*s.KVHeads, x.tokens(), 1)
}

// ropeNorm is a span as rope.comp numbers it.
func ropeNorm(span moe.NormSpan) uint32 {
	switch span {
	case moe.PerHead:
		return 1
	case moe.WholeRow:
		return 2
	}
	return 0
}

// recordAttention records attention, in splits where few tokens have a long past.
func (x *text) recordAttention(c *vk.Commands, l int) {
	s, m := &x.sizes, x.dense
	variant, heads, blocks := s.attention(x.tokens())
	splits, span := s.past(x.position+x.tokens(), heads*blocks, attendThreads)
	dst := m.attended
	if splits > 1 {
		dst = m.splits
	}
	c.Dispatch(x.kernels.attend[variant], pushBytes(pushAttend{
		Q: m.q.Address(), Keys: m.keys[l].Address(), Values: m.values[l].Address(),
		Dst: dst.Address(), State: m.states.Address(),
		Heads: uint32(s.Heads), PerKey: uint32(s.perKey()), Tokens: uint32(x.tokens()),
		Position: uint32(x.position), Context: uint32(s.context), Span: uint32(span),
		Stride: uint32(s.row), Scale: float32(1 / math.Sqrt(float64(s.HeadDim))),
	}), heads, blocks, splits)
	if splits == 1 {
		return
	}
	c.DispatchBarrier()
	c.Dispatch(x.kernels.merge, pushBytes(pushMerge{
		Acc: m.splits.Address(), State: m.states.Address(), Dst: m.attended.Address(),
		Splits: uint32(splits), Tokens: uint32(x.tokens()), Heads: uint32(s.Heads),
		Dim: uint32(s.HeadDim), Stride: uint32(s.row),
	}), s.Heads, x.tokens(), 1)
}

// recordNextGate records what the gate of layer l makes of the input of the layer before.
func (x *text) recordNextGate(c *vk.Commands, l int) {
	k, m := x.runner.kernels, x.runner.memory
	experts, d := x.sizes.Experts, x.sizes.d
	k.dispatchGate(c, pushGate{
		X: m.x.Address(), Gate: m.gates.Address() + uint64(4*l*experts*d),
		Logits: x.dense.nextLogits.Address(),
		D4:     uint32(d / 4), Tokens: uint32(x.tokens()), Experts: uint32(experts),
	})
}

// recordHead records the logits of n tokens from the first of those asked for on, which are
// the batch's last.
func (x *text) recordHead(c *vk.Commands, first, n int) {
	at := x.tokens() - len(x.batch.Logits)/x.sizes.Vocab + first
	x.recordDense(c, &x.kernels.head, x.state(), int64(4*at*x.sizes.d),
		x.dense.logits.Address(), x.dense.head, n)
	c.Barrier()
}
