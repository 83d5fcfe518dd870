package moe

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"ufm/pager"
)

// Forward runs b through the whole model, from top to bottom.
func (r *cpuText) Forward(ctx context.Context, b *TextBatch) (StepTimes, error) {
	if r.dense.layers == nil {
		return StepTimes{}, errors.New("moe: forward without a bank")
	}
	if err := b.Validate(r.cfg, r.config, r.length); err != nil {
		return StepTimes{}, err
	}
	c, tokens := r.config, len(b.IDs)
	times := StepTimes{Timed: true}
	start, copies := time.Now(), r.moe.pool.copies.Load()
	batch := &Batch{Step: b.Step, Tokens: tokens, Phase: b.Phase, Routing: b.Routing,
		Capture: &Capture{Experts: b.Experts, Weights: b.Weights}}
	r.predict(b)

	r.embed(b.IDs)
	for l := range c.Layers {
		if err := ctx.Err(); err != nil {
			return StepTimes{}, err
		}
		dense, began := &r.dense.layers[l], time.Now()

		// attention
		r.normAndPack(r.x, dense.attentionNorm, tokens)
		r.multiply(r.query, dense.query, r.packed, tokens)
		r.multiply(r.key, dense.key, r.packed, tokens)
		r.multiply(r.value, dense.value, r.packed, tokens)
		r.place(l, tokens)
		r.attend(l, tokens)
		r.eachToken(tokens, func(t int) {
			pack(r.packed, t, tokens, r.heads[t*c.Heads*c.HeadDim:][:c.Heads*c.HeadDim])
		})
		r.multiply(r.product, dense.output, r.packed, tokens)
		accumulate(r.x, r.product[:tokens*c.DModel])

		// experts
		width := NewLayout(r.cfg.Run.Shape).In
		r.eachToken(tokens, func(t int) {
			r.norm(r.moe.input[t*width:], r.x[t*c.DModel:][:c.DModel], dense.moeNorm)
		})
		times.Compute += time.Since(began)
		if err := r.moe.layer(batch, l, &times); err != nil {
			return StepTimes{}, fmt.Errorf("moe: step %d, layer %d: %w", b.Step, l, err)
		}
		accumulate(r.x, r.moe.output[:tokens*c.DModel])
	}
	began := time.Now()
	if rows := len(b.Logits) / c.Vocab; rows > 0 {
		r.normAndPack(r.x[(tokens-rows)*c.DModel:], r.dense.finalNorm, rows)
		r.multiply(b.Logits, r.dense.head, r.packed, rows)
	}
	r.length += tokens
	times.Compute += time.Since(began)
	times.Wall = time.Since(start)
	times.Upload = time.Duration(r.moe.pool.copies.Load() - copies)
	return times, nil
}

// eachToken calls f for tokens, whose rows are at least d_model long, on all cores.
func (r *cpuText) eachToken(tokens int, f func(t int)) {
	const costs = 10 // about as many multiply-adds for each value
	each(r.crew(costs*tokens*r.config.DModel), tokens, func(_ *textWorker, t int) { f(t) })
}

// embed starts the residual stream.
func (r *cpuText) embed(ids []int32) {
	d := r.config.DModel
	size := d * r.dense.dtype.Size()
	for t, id := range ids {
		decode(r.x[t*d:][:d], r.dense.embedding[int(id)*size:], r.dense.dtype)
	}
}

// norm sets dst to weight · x / √(mean(x²) + eps); x is as long as weight.
func (r *cpuText) norm(dst, x, weight []float32) {
	scale := float32(1 / math.Sqrt(float64(dot(x, x))/float64(len(x))+r.config.NormEps))
	for i, w := range weight {
		dst[i] = w * (x[i] * scale)
	}
}

// normAndPack norms rows of x, (rows, d_model), for the next products.
func (r *cpuText) normAndPack(x, weight []float32, rows int) {
	d := len(weight)
	r.eachToken(rows, func(t int) {
		row := r.product[t*d:][:d] // scratch here
		r.norm(row, x[t*d:][:d], weight)
		pack(r.packed, t, rows, row)
	})
}

// place norms queries and keys where the model has such norms, turns them by their
// positions, and stores keys and values.
func (r *cpuText) place(layer, tokens int) {
	c, dense := r.config, &r.dense.layers[layer]
	queries, keys := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	r.eachToken(tokens, func(t int) {
		query, key := r.query[t*queries:][:queries], r.key[t*keys:][:keys]
		r.normRuns(query, dense.queryNorm)
		r.normRuns(key, dense.keyNorm)
		for at := 0; at < queries; at += c.HeadDim {
			r.rotate(query[at:][:c.HeadDim], r.length+t)
		}
		for h := range c.KVHeads {
			head := key[h*c.HeadDim:][:c.HeadDim]
			r.rotate(head, r.length+t)
			value := r.value[t*keys+h*c.HeadDim:][:c.HeadDim]
			r.cache[layer].put(h, r.length+t, head, value)
		}
	})
}

// normRuns norms each run of x that is as long as weight; without weight, none.
func (r *cpuText) normRuns(x, weight []float32) {
	for n := len(weight); n > 0 && len(x) > 0; x = x[n:] {
		r.norm(x[:n], x[:n], weight)
	}
}

// accumulate adds y to x.
func accumulate(x, y []float32) {
	for i, v := range y {
		x[i] += v
	}
}

// predict prepares b.Predicted, if it is asked for, and notes whether to prefetch.
func (r *cpuText) predict(b *TextBatch) {
	r.prefetch = r.cfg.Prefetch && !b.NoPrefetch && !r.moe.place.Full()
	r.predicted = b.Predicted
	for i := range b.Predicted[:min(len(b.Predicted), len(b.IDs)*r.config.TopK)] {
		b.Predicted[i] = NoPrediction // layer 0
	}
}

// ahead lets the next layer's gate choose on this layer's input, and prefetches what it
// chooses. The layer's own copies have begun.
func (r *cpuText) ahead(b *Batch, layer int) error {
	s, next := r.cfg.Run.Shape, layer+1
	if next == s.Layers || r.predicted == nil && !r.prefetch {
		return nil
	}
	width, gate := NewLayout(s).In, r.moe.gates[next]
	guess := r.guess[:b.Tokens*s.TopK]
	each(r.crew(b.Tokens*len(gate)), b.Tokens, func(w *textWorker, t int) {
		Route(s, gate, r.moe.input[t*width:][:s.DModel], nil, w.logits,
			guess[t*s.TopK:][:s.TopK], r.guessWeights[t*s.TopK:][:s.TopK])
	})
	if r.predicted != nil {
		copy(r.predicted[next*len(guess):], guess)
	}
	if !r.prefetch {
		return nil
	}
	r.wanted = PrefetchOrder(s, next, guess, r.wanted[:0])
	return r.moe.place.Prefetch(r.wanted)
}

// PrefetchOrder appends to dst the distinct experts that a layer is predicted to need,
// in the order in which they are asked for: every token's first choice, then every
// second one, and so on. predicted is (tokens, top_k).
func PrefetchOrder(s Shape, layer int, predicted []uint32, dst []pager.ExpertID) []pager.ExpertID {
	seen := make([]bool, s.Experts)
	for rank := range s.TopK {
		for i := rank; i < len(predicted); i += s.TopK {
			if e := predicted[i]; !seen[e] {
				seen[e] = true
				dst = append(dst, s.Paging().ID(layer, int(e)))
			}
		}
	}
	return dst
}
