package moe

import (
	"errors"
	"fmt"
	"math"
)

// TextResult is what a whole model computes for a sequence, in float64.
type TextResult struct {
	Logits  []float64 // (tokens, vocab)
	Experts []uint32  // (layers, tokens, top_k) indexes within the layer, in top-k order
	Inputs  []float64 // (layers, tokens, d_model): what each MoE layer was given
	Outputs []float64 // (layers, tokens, d_model): what each MoE layer gave, before the residual
}

// ReferenceText computes the whole forward pass of a sequence in float64 straight from
// the formulas: no cache, no chunks, no kernel layout. It is for comparison and slow.
func ReferenceText(m TextModel, ids []int32) (*TextResult, error) {
	c, s := m.Config(), m.Shape()
	d, tokens := c.DModel, len(ids)
	if tokens == 0 {
		return nil, errors.New("moe: a sequence without tokens has no logits")
	}
	r := &TextResult{}
	w := &denseReader{model: m}

	embedding := w.read(Embedding, 0) // (vocab, d_model)
	x := make([]float64, tokens*d)    // (tokens, d_model): the residual stream
	for t, id := range ids {
		if id < 0 || int(id) >= c.Vocab {
			return nil, fmt.Errorf("moe: token %d has id %d, the vocabulary has %d", t, id, c.Vocab)
		}
		if w.err == nil {
			widen(x[t*d:][:d], embedding[int(id)*d:])
		}
	}
	for l := range c.Layers {
		w.layer = l
		normed := referenceNorm(x, w.layerOf(AttentionNorm), c.NormEps) // (tokens, d_model)
		q := referenceLinear(normed, w.layerOf(Query), d)               // (tokens, heads × head_dim)
		k := referenceLinear(normed, w.layerOf(Key), d)                 // (tokens, kv_heads × head_dim)
		v := referenceLinear(normed, w.layerOf(Value), d)               // (tokens, kv_heads × head_dim)
		if w.err != nil {
			return nil, w.err
		}
		if c.QueryKeyNorm != NoNorm {
			q = referenceNorm(q, w.layerOf(QueryNorm), c.NormEps)
			k = referenceNorm(k, w.layerOf(KeyNorm), c.NormEps)
		}
		referenceRope(c, q, tokens)
		referenceRope(c, k, tokens)
		heads := referenceAttention(c, q, k, v, tokens)                              // (tokens, heads × head_dim)
		out := referenceLinear(heads, w.layerOf(AttentionOutput), c.Heads*c.HeadDim) // (tokens, d_model)
		add(x, out)

		normed = referenceNorm(x, w.layerOf(MoENorm), c.NormEps)
		if w.err != nil {
			return nil, w.err
		}
		moe, err := reference(m, l, normed, ByRouter, nil)
		if err != nil {
			return nil, err
		}
		add(x, moe.Output)
		r.Experts = append(r.Experts, moe.Experts[:tokens*s.TopK]...)
		r.Inputs = append(r.Inputs, normed...)
		r.Outputs = append(r.Outputs, moe.Output...)
	}
	x = referenceNorm(x, w.read(FinalNorm, 0), c.NormEps)
	r.Logits = referenceLinear(x, w.read(Head, 0), d)
	return r, w.err
}

// denseReader reads weights until one fails.
type denseReader struct {
	model TextModel
	layer int
	err   error
}

func (r *denseReader) layerOf(kind DenseKind) []float32 { return r.read(kind, r.layer) }

func (r *denseReader) read(kind DenseKind, layer int) []float32 {
	if r.err != nil {
		return nil
	}
	v, err := r.model.Dense(kind, layer)
	if err == nil && v == nil {
		err = fmt.Errorf("moe: model %s lacks %s", r.model.Name(), kind.tensor(layer))
	}
	r.err = err
	return v
}

// referenceNorm is weight · x / √(mean(x²) + eps), for each run of x as long as weight.
func referenceNorm(x []float64, weight []float32, eps float64) []float64 {
	out := make([]float64, len(x))
	n := len(weight)
	for from := 0; n > 0 && from < len(x); from += n {
		sum := 0.0
		for _, v := range x[from:][:n] {
			sum += v * v
		}
		scale := 1 / math.Sqrt(sum/float64(n)+eps)
		for i, w := range weight {
			out[from+i] = float64(w) * (x[from+i] * scale)
		}
	}
	return out
}

// referenceLinear multiplies each row of x, (rows, in), by w, (out, in).
func referenceLinear(x []float64, w []float32, in int) []float64 { // (rows, out)
	outs := len(w) / in
	y := make([]float64, len(x)/in*outs)
	for i := range y {
		y[i] = dot64(w[i%max(outs, 1)*in:][:in], x[i/max(outs, 1)*in:][:in])
	}
	return y
}

// referenceRope turns the halves of each head of x, (tokens, any heads, head_dim), by
// angles that grow with the position: pair i by position × theta^(−2i/head_dim).
func referenceRope(c Config, x []float64, tokens int) {
	row, half := len(x)/tokens, c.HeadDim/2
	for at := 0; at < len(x); at += c.HeadDim {
		head := x[at:][:c.HeadDim]
		for i := range half {
			angle := float64(at/row) * math.Pow(c.RopeTheta, -float64(2*i)/float64(c.HeadDim))
			sin, cos := math.Sincos(angle)
			a, b := head[i], head[half+i]
			head[i], head[half+i] = a*cos-b*sin, b*cos+a*sin
		}
	}
}

// referenceAttention lets each token look at itself and all before it. Neighbouring
// query heads share a key-value head.
func referenceAttention(c Config, q, k, v []float64, tokens int) []float64 {
	hd, shared := c.HeadDim, c.Heads/c.KVHeads
	out := make([]float64, tokens*c.Heads*hd) // (tokens, heads, head_dim)
	for t := range tokens {
		for h := range c.Heads {
			at := (t*c.Heads + h) * hd
			scores := make([]float64, t+1)
			for p := range scores {
				key := k[(p*c.KVHeads+h/shared)*hd:][:hd]
				for i, x := range q[at:][:hd] {
					scores[p] += x * key[i]
				}
				scores[p] /= math.Sqrt(float64(hd))
			}
			softmax(scores)
			for p, weight := range scores {
				for i, x := range v[(p*c.KVHeads+h/shared)*hd:][:hd] {
					out[at+i] += weight * x
				}
			}
		}
	}
	return out
}

func widen(dst []float64, src []float32) {
	for i := range dst {
		dst[i] = float64(src[i])
	}
}

func add(x, y []float64) {
	for i, v := range y {
		x[i] += v
	}
}
