//go:build cgo && linux

package vulkan

import (
	"fmt"
	"math"
	"os"
	"slices"
	"testing"

	"ufm/moe"
	"ufm/vk"
)

// skipSlow leaves out what only compiles the same kernels again where instrumented ones take
// seconds to compile; other tests run each of them.
func skipSlow(t *testing.T) {
	t.Helper()
	if os.Getenv("UFM_VALIDATION") == "gpu" {
		t.Skip("instrumented kernels take too long to compile")
	}
}

// TestDense multiplies rows of every tiling by matrices of every type, in one part and in
// several, with sizes that fill no tile.
func TestDense(t *testing.T) {
	skipSlow(t)
	l := newLab(t)
	for dtype := moe.F32; dtype <= moe.BF16; dtype++ {
		for _, tile := range []tiling{
			{rows: 1, threads: 64, lanes: 16, staged: 64}, {rows: 6, threads: 32, lanes: 8, staged: 32},
		} {
			shared := max((tile.rows+3)/4*tile.staged, 4*tile.threads)
			p := l.pipeline("dense_"+dtype.String(), pushDense{},
				tile.threads, tile.rows, tile.lanes, tile.staged, shared)
			for _, s := range []struct{ rows, in, out, part int }{
				{1, 1, 1, 8}, {1, 200, 77, 200}, {1, 136, 40, 48}, {7, 90, 33, 32}, {13, 64, 8, 64},
			} {
				inputs, outputs := pad8(s.in), pad8(s.out)
				weight, w := l.matrix(dtype, s.out, s.in, outputs, inputs)
				x, v := l.random(s.rows * inputs)
				parts := over(inputs, s.part)
				dst := l.floats(parts * s.rows * outputs)
				l.dispatch(p, pushDense{
					X: x.Address(), Dst: dst.Address(), Weight: weight.Address(), Rows: uint32(s.rows),
					Inputs: uint32(inputs), Outputs: uint32(outputs), Part: uint32(s.part),
				}, over(outputs, 4*tile.lanes), over(s.rows, tile.rows), parts)
				got, want := make([]float32, s.rows*s.out), make([]float64, s.rows*s.out)
				for i := range want {
					r, n := i/s.out, i%s.out
					for k := range s.in {
						want[i] += w[n*s.in+k] * v[r*inputs+k]
					}
					for q := range parts {
						got[i] += dst.Floats()[(q*s.rows+r)*outputs+n]
					}
				}
				l.near(fmt.Sprintf("%s, tile of %d, %+v", dtype, tile.rows, s), got, want)
			}
		}
	}
}

// TestResidual checks each thing that comes on top of the residual stream.
func TestResidual(t *testing.T) {
	skipSlow(t)
	l := newLab(t)
	const tokens, model, d, topK, epsilon = 3, 42, 48, 2, 1e-5
	norm, weight := l.random(d)
	clear(norm.Floats()[model:])
	base, b := l.random(tokens * d)
	check := func(what string, push pushResidual, added []float64) {
		t.Helper()
		h, x := l.floats(tokens*d), l.floats(tokens*d)
		push.Base, push.H, push.X, push.Norm = base.Address(), h.Address(), x.Address(), norm.Address()
		push.DModel, push.Tokens, push.Epsilon = model, tokens, epsilon
		l.dispatch(l.pipeline(what, pushResidual{}, 16, d, topK), push, tokens, 1, 1)
		state, normed := make([]float64, tokens*d), make([]float64, tokens*d)
		for i := range tokens {
			sum := 0.0
			for k := range d {
				state[i*d+k] = added[i*d+k]
				if push.Index == 0 || push.Weights != 0 {
					state[i*d+k] += b[i*d+k]
				}
				sum += state[i*d+k] * state[i*d+k]
			}
			for k := range model {
				normed[i*d+k] = state[i*d+k] / math.Sqrt(sum/model+epsilon) * weight[k]
			}
		}
		l.near(what+": residual stream", h.Floats(), state)
		l.near(what+": norm", x.Floats(), normed)
	}

	const vocab = 21
	ids := l.floats(tokens)
	copy(ids.Words(), []uint32{20, 0, 7})
	for dtype := moe.F32; dtype <= moe.BF16; dtype++ {
		table, e := l.matrix(dtype, vocab, model, pad8(vocab), d)
		rows := make([]float64, tokens*d)
		for i, id := range ids.Words()[:tokens] {
			copy(rows[i*d:], e[int(id)*model:][:model])
		}
		check("embed_"+dtype.String(), pushResidual{
			Added: table.Address(), Index: ids.Address(), N: uint32(pad8(vocab))}, rows)
	}

	const parts = 3
	added, a := l.random(parts * tokens * d)
	sum := make([]float64, tokens*d)
	for i := range a {
		sum[i%len(sum)] += a[i]
	}
	check("add_attention", pushResidual{Added: added.Address(), N: parts}, sum)

	y, out := l.random(5 * 4 * d) // five quads of rows
	position, weights := l.floats(tokens*topK), l.floats(tokens*topK)
	copy(position.Words(), []uint32{0, 17, 5, 4, 2, 9})
	copy(weights.Floats(), []float32{0.25, 0.75, 1, 0, 0.5, 0.125})
	sum = make([]float64, tokens*d)
	for i, row := range position.Words()[:tokens*topK] {
		for k := range d {
			sum[i/topK*d+k] += float64(weights.Floats()[i]) * out[int(row)*d+k]
		}
	}
	check("add_experts", pushResidual{Added: y.Address(), Index: position.Address(),
		Weights: weights.Address()}, sum)
}

// attentionCase is a sequence whose last tokens are projected and attend to all before.
type attentionCase struct {
	heads, kvHeads, dim   int
	position, tokens      int
	norm                  moe.NormSpan
	qkv, qNorm, kNorm     []float64
	past, values          []float64 // (kv_heads, context, dim); the newest are filled in
	context, width, parts int
	gpu                   bool // a token's kernel is cut as for a GPU
}

const labTheta = 1e4

// turned is head h of a token's projection with norm and position applied.
func (c *attentionCase) turned(token, h int) []float64 {
	row := c.qkv[token*c.width:][:c.width]
	first, n, weight := h*c.dim, c.dim, c.qNorm
	group, all := 0, c.heads
	if h >= c.heads {
		weight, group, all = c.kNorm, c.heads, c.kvHeads
	}
	own := 0
	at := first
	if c.norm == moe.WholeRow {
		at, n, own = group*c.dim, all*c.dim, (h-group)*c.dim
	}
	v := slices.Clone(row[first:][:c.dim])
	if c.norm != moe.NoNorm {
		sum := 0.0
		for _, x := range row[at:][:n] {
			sum += x * x
		}
		for i := range v {
			v[i] *= weight[own+i] / math.Sqrt(sum/float64(n)+1e-6)
		}
	}
	out := make([]float64, c.dim)
	for i := range c.dim / 2 {
		sin, cos := math.Sincos(float64(c.position+token) * math.Pow(labTheta, -2*float64(i)/float64(c.dim)))
		out[i] = v[i]*cos - v[i+c.dim/2]*sin
		out[i+c.dim/2] = v[i+c.dim/2]*cos + v[i]*sin
	}
	return out
}

// attend is attention of one token's head over everything up to it.
func (c *attentionCase) attend(token, h int) []float64 {
	q := c.turned(token, h)
	key := h / (c.heads / c.kvHeads) * c.context
	n := c.position + token + 1
	p, sum, top := make([]float64, n), 0.0, math.Inf(-1)
	for i := range p {
		for d, x := range q {
			p[i] += x * c.past[(key+i)*c.dim+d] / math.Sqrt(float64(c.dim))
		}
		top = max(top, p[i])
	}
	out := make([]float64, c.dim)
	for i := range p {
		p[i] = math.Exp(p[i] - top)
		sum += p[i]
		for d := range out {
			out[d] += p[i] * c.values[(key+i)*c.dim+d]
		}
	}
	for d := range out {
		out[d] /= sum
	}
	return out
}

// TestAttention runs rope, attend and merge over short and long pasts, with every form of
// norm and of sharing, and a token's attention where there is one.
func TestAttention(t *testing.T) {
	skipSlow(t)
	l := newLab(t)
	for _, c := range []attentionCase{
		{heads: 1, kvHeads: 1, dim: 4, position: 0, tokens: 1},
		{heads: 6, kvHeads: 2, dim: 20, position: 64, tokens: 1, norm: moe.PerHead},
		{heads: 6, kvHeads: 2, dim: 20, position: 200, tokens: 1, norm: moe.WholeRow},
		{heads: 8, kvHeads: 1, dim: 256, position: 70, tokens: 1, norm: moe.PerHead},
		{heads: 8, kvHeads: 1, dim: 96, position: 90, tokens: 1},
		{heads: 14, kvHeads: 2, dim: 64, position: 33, tokens: 1, norm: moe.PerHead},
		{heads: 9, kvHeads: 9, dim: 12, position: 440, tokens: 1, gpu: true}, // 28 splits of a padded row
		{heads: 6, kvHeads: 2, dim: 20, position: 0, tokens: 9, norm: moe.WholeRow},
		{heads: 6, kvHeads: 2, dim: 20, position: 130, tokens: 5, norm: moe.PerHead},
	} {
		t.Run(fmt.Sprintf("heads=%d/position=%d/tokens=%d", c.heads, c.position, c.tokens),
			func(t *testing.T) { testAttention(t, l, c) })
	}
}

func testAttention(t *testing.T, l *lab, c attentionCase) {
	l.t = t
	c.context, c.parts, c.width = c.position+c.tokens+3, 2, pad8((c.heads+2*c.kvHeads)*c.dim)
	qkv, parts := l.random(c.parts * c.tokens * c.width)
	c.qkv = make([]float64, c.tokens*c.width)
	for i, v := range parts {
		c.qkv[i%len(c.qkv)] += v
	}
	keys, past := l.random(c.kvHeads * c.context * c.dim)
	values, v := l.random(c.kvHeads * c.context * c.dim)
	c.past, c.values = past, v
	qNorm, qw := l.random(c.heads * c.dim)
	kNorm, kw := l.random(c.kvHeads * c.dim)
	c.qNorm, c.kNorm = qw, kw
	table := l.floats(c.context * c.dim)
	copy(table.Floats(), turns(c.context, c.dim, labTheta))
	for i := range c.tokens {
		for h := range c.kvHeads {
			at := (h*c.context + c.position + i) * c.dim
			copy(past[at:], c.turned(i, c.heads+h))
			copy(v[at:], c.qkv[i*c.width+(c.heads+c.kvHeads+h)*c.dim:][:c.dim])
		}
	}
	s := &textSizes{Config: moe.Config{Heads: c.heads, KVHeads: c.kvHeads, HeadDim: c.dim}, tokens: 4}
	s.enough, s.tuning = 16, tuning{threads: 64}
	want := make([]float64, 0, c.tokens*c.heads*c.dim)
	for i := range c.tokens {
		for h := range c.heads {
			want = append(want, c.attend(i, h)...)
		}
	}
	stride := c.heads * c.dim
	dst := l.floats(c.tokens * stride)
	acc, state := l.floats(16*64*c.dim), l.floats(2*16*64)
	threads := attendThreads

	newest := func() { // NaN where the kernel has to write
		for i := range c.tokens {
			for h := range c.kvHeads {
				for d := range c.dim {
					at := (h*c.context+c.position+i)*c.dim + d
					keys.Words()[at], values.Words()[at] = poisonWord, poisonWord
				}
			}
		}
	}
	if c.tokens == 1 {
		newest()
		l.near("a token", testTokenAttention(l, c, opAttend{
			QKV: qkv.Address(), Keys: keys.Address(), Values: values.Address(), Turns: table.Address(),
			QNorm: qNorm.Address(), KNorm: kNorm.Address(),
		}), want)
		l.near("a token: keys", keys.Floats(), past)
		l.near("a token: values", values.Floats(), v)
	}

	newest()
	q := l.floats(c.tokens * stride)
	l.dispatch(l.pipeline("rope", pushRope{}, ropeThreads), pushRope{
		QKV: qkv.Address(), Q: q.Address(), Keys: keys.Address(), Values: values.Address(),
		Turns: table.Address(), QNorm: qNorm.Address(), KNorm: kNorm.Address(),
		Heads: uint32(c.heads), KVHeads: uint32(c.kvHeads), Dim: uint32(c.dim),
		Tokens: uint32(c.tokens), Parts: uint32(c.parts), Width: uint32(c.width),
		Position: uint32(c.position), Context: uint32(c.context), Norm: ropeNorm(c.norm), Epsilon: 1e-6,
	}, c.heads+2*c.kvHeads, c.tokens, 1)
	l.near("rope: keys", keys.Floats(), past)
	l.near("rope: values", values.Floats(), v)

	variant, x, y := s.attention(c.tokens)
	splits, span := s.past(c.position+c.tokens, x*y, threads)
	p := l.pipeline("attend", pushAttend{}, threads, c.dim, s.attendHeads(), s.attendTokens()[variant], 1)
	to := dst
	if splits > 1 {
		to = acc
	}
	for i := range dst.Words() {
		dst.Words()[i] = poisonWord
	}
	l.dispatch(p, pushAttend{
		Q: q.Address(), Keys: keys.Address(), Values: values.Address(), Dst: to.Address(),
		State: state.Address(), Heads: uint32(c.heads), PerKey: uint32(s.perKey()),
		Tokens: uint32(c.tokens), Position: uint32(c.position), Context: uint32(c.context),
		Span: uint32(span), Stride: uint32(stride), Scale: float32(1 / math.Sqrt(float64(c.dim))),
	}, x, y, splits)
	if splits > 1 {
		l.dispatch(l.pipeline("merge", pushMerge{}, mergeThreads), pushMerge{
			Acc: acc.Address(), State: state.Address(), Dst: dst.Address(), Splits: uint32(splits),
			Tokens: uint32(c.tokens), Heads: uint32(c.heads), Dim: uint32(c.dim), Stride: uint32(stride),
		}, c.heads, c.tokens, 1)
	}
	l.near(fmt.Sprintf("attend, %d splits", splits), dst.Floats(), want)
}

// testTokenAttention runs a token's attention, and the projection that puts its splits together
// with a matrix that leaves its inputs as they are.
func testTokenAttention(l *lab, c attentionCase, op opAttend) []float32 {
	s := &textSizes{
		Config: moe.Config{Heads: c.heads, KVHeads: c.kvHeads, HeadDim: c.dim},
		shape:  moe.Shape{Layers: 1, Experts: 8, DModel: 64, DHidden: 64, TopK: 2},
		tokens: 1, d: 64, row: pad8(c.heads * c.dim), width: c.width,
	}
	info := vk.DeviceInfo{Kind: cpuKind}
	if c.gpu {
		info.Kind = "GPU"
	}
	s.choose(info)
	_, cut := s.cuts(s.tuning)
	most, threads := s.tokenSplits(), s.tuning.threads
	cut = s.tuning.pieces(s.row, s.row, 1, 8, cut.part)
	groups := c.heads / s.tokenHeads()
	squares := l.floats(2) // of inputs whose norm is 1
	copy(squares.Floats(), []float32{3, 5 - 1e-6})
	rows := int(s.splitRows())
	op.Acc, op.State = l.floats(rows*c.dim).Address(), l.floats(2*rows).Address()
	op.Kind, op.Groups, op.Squares, op.DModel = kindAttend, uint32(groups), squares.Address(), 8
	op.Heads, op.PerKey, op.Parts = uint32(c.heads), uint32(s.perKey()), uint32(c.parts)
	op.Width, op.Context, op.Most = uint32(c.width), uint32(c.context), uint32(most)
	op.Norm, op.Epsilon, op.Scale = ropeNorm(c.norm), 1e-6, float32(1/math.Sqrt(float64(c.dim)))
	p := l.pipeline("token", pushToken{}, threads, 4, 1, 1, c.dim, s.tokenHeads(), mostInputs/4)
	push := pushToken{Position: uint32(c.position)}
	l.op(p, op, push, groups*most)

	weight, dst := l.floats(s.row*s.row), l.floats(cut.parts*s.row)
	clear(weight.Words())
	for i := range s.row {
		weight.Floats()[i*s.row+i] = 1
	}
	out := (&token{}).opProduct(cut, moe.F32)
	out.Source, out.X, out.Base = sourceAttended, op.Acc, op.State
	out.Heads, out.Most, out.Weight, out.Dst = op.Heads, op.Most, weight.Address(), dst.Address()
	l.op(p, out, push, cut.items())
	got := make([]float32, s.row)
	for i, v := range dst.Floats()[:cut.parts*s.row] {
		got[i%s.row] += v
	}
	l.t.Logf("a token: up to %d splits, %d parts", most, cut.parts)
	return got
}

// TestTokenSizes checks what the shaders take for granted: that the threads suffice for the splits
// of a part's heads, and the buffers for all splits.
func TestTokenSizes(t *testing.T) {
	for _, kind := range []string{"GPU", cpuKind} {
		for heads := 1; heads <= 320; heads++ {
			for _, kv := range []int{1, 2, 3, 5, 8, heads} {
				for _, dim := range []int{4, 12, 64, 100, 128, 256} {
					for _, d := range []int{64, 1000, 4096} {
						if heads%kv == 0 {
							checkTokenSizes(t, kind, heads, kv, dim, d)
						}
					}
				}
			}
		}
	}
}

func checkTokenSizes(t *testing.T, kind string, heads, kv, dim, d int) {
	t.Helper()
	s := textSizes{
		Config: moe.Config{Heads: heads, KVHeads: kv, HeadDim: dim, DModel: d},
		shape:  moe.Shape{Layers: 1, Experts: 64, DModel: d, DHidden: 768, TopK: 8, Form: moe.SwiGLU},
		tokens: 1, d: pad8(d), row: pad8(heads * dim), width: pad8((heads + 2*kv) * dim),
	}
	s.choose(vk.DeviceInfo{Kind: kind})
	if s.partHeads() > s.tuning.threads {
		return // its tokens are batches of one
	}
	name := fmt.Sprintf("%s, %d heads of %d, %d of keys, d_model %d", kind, heads, dim, kv, d)
	qkv, out := s.cuts(s.tuning)
	if qkv.parts > maxParts || out.part > mostInputs {
		t.Errorf("%s: %d parts of the projection, %d inputs in a part of the other",
			name, qkv.parts, out.part)
	}
	splits := s.tokenSplits()
	for p := range out.parts {
		first, last := p*out.part/dim, (min(s.row, (p+1)*out.part)-1)/dim
		if n := (last - first + 1) * splits; n > s.tuning.threads {
			t.Errorf("%s: part %d: %d splits of heads, %d threads", name, p, n, s.tuning.threads)
		}
	}
	if need, got := int64(splits*heads), s.splitRows(); need > got {
		t.Errorf("%s: room for %d rows of splits, want %d", name, got, need)
	}
}
