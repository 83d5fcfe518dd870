package moe

import (
	"encoding/binary"
	"math"

	"ufm/internal/kernel"
)

// kvCache is what attention remembers of one layer: for each key-value head two
// matrices in the kernel layout, so that products with it are the experts' products.
//
//	scores = query × keys      keys:   (head_dim, context), a column a position
//	heads  = scores × values   values: (context, head_dim), a row a position
type kvCache struct {
	keys   []byte // (kv_heads, head_dim padded, context padded) float32
	values []byte // (kv_heads, context padded, head_dim padded) float32
	dim    int    // head_dim padded
	room   int    // context padded
}

func newKVCache(c Config, context int) kvCache {
	bytes := int64(kvBytes(c, context) / 2)
	cache := kvCache{newMemory(bytes), newMemory(bytes), pad(c.HeadDim), pad(context)}
	clear(cache.keys) // writing makes the host take the pages, so that a bank is not promised them
	clear(cache.values)
	return cache
}

// kvBytes is what one layer's cache takes.
func kvBytes(c Config, context int) float64 {
	return 2 * 4 * float64(c.KVHeads) * float64(pad(c.HeadDim)) * float64(pad(context))
}

// put stores the key and the value of one head at a position.
func (c kvCache) put(head, position int, key, value []float32) {
	le, first := binary.LittleEndian, head*c.dim*c.room
	for i, v := range key {
		le.PutUint32(c.keys[4*(first+i*c.room+position):], math.Float32bits(v))
	}
	row := c.values[4*(first+position*c.dim):]
	for i, v := range value {
		le.PutUint32(row[4*i:], math.Float32bits(v))
	}
}

// matrices are one head's keys and values at the first positions, a multiple of 8.
func (c kvCache) matrices(head, positions int) (keys, values kernel.Matrix) {
	first := 4 * head * c.dim * c.room
	keys = kernel.Matrix{Data: c.keys[first:], In: c.dim, Out: c.room}
	values = kernel.Matrix{Data: c.values[first:], In: positions, Out: c.dim}
	return keys, values
}

// forget clears the values of a sequence: products multiply what lies beyond a position
// by zero, which is zero only for what is finite.
func (c kvCache) forget(length int) {
	heads := len(c.values) / (4 * c.dim * c.room)
	for h := range heads {
		clear(c.values[4*h*c.dim*c.room:][:4*length*c.dim])
	}
}

// newTurns are the rotary embedding's cosines and sines, (context, head_dim/2, 2): pair i
// turns by position × theta^(−2i/head_dim).
func newTurns(c Config, context int) []float32 {
	half := c.HeadDim / 2
	turns := make([]float32, context*half*2)
	for i := range half {
		speed := math.Pow(c.RopeTheta, -float64(2*i)/float64(c.HeadDim))
		for p := range context {
			sin, cos := math.Sincos(float64(p) * speed)
			turns[(p*half+i)*2], turns[(p*half+i)*2+1] = float32(cos), float32(sin)
		}
	}
	return turns
}

// rotate turns the halves of a head at a position.
func (r *cpuText) rotate(head []float32, position int) {
	half := len(head) / 2
	turns := r.turns[position*half*2:][:half*2]
	low, high := head[:half], head[half:]
	for i := range low {
		cos, sin := turns[2*i], turns[2*i+1]
		a, b := low[i], high[i]
		low[i], high[i] = a*cos-b*sin, b*cos+a*sin
	}
}

// attentionRows is the most rows, a query head of a token each, that are computed
// together: 16 tokens, or as many as keep the scores of a long context small.
func attentionRows(c Config, context int) int {
	const most = 1 << 20 // scores
	shared := c.Heads / c.KVHeads
	return shared * max(1, min(16, most/(shared*pad(context))))
}

// attend fills r.heads with what the queries of all tokens, the last of the sequence,
// make of the cache. Blocks of tokens go through one key-value head at a time.
func (r *cpuText) attend(layer, tokens int) {
	c := r.config
	shared := c.Heads / c.KVHeads
	block := attentionRows(c, r.cfg.Context) / shared
	blocks := (tokens + block - 1) / block
	work := tokens * c.Heads * c.HeadDim * (r.length + tokens)
	each(r.crew(work), blocks*c.KVHeads, func(w *textWorker, i int) {
		first := i / c.KVHeads * block
		r.attendBlock(w, r.cache[layer], i%c.KVHeads, first, min(block, tokens-first))
	})
}

// attendBlock computes the heads that share a key-value head, for some tokens.
func (r *cpuText) attendBlock(w *textWorker, cache kvCache, kvHead, first, tokens int) {
	c, hd := r.config, r.config.HeadDim
	shared := c.Heads / c.KVHeads
	rows := tokens * shared
	row := func(i int) int { return ((first+i/shared)*c.Heads + kvHead*shared + i%shared) * hd }
	positions := pad(r.length + first + tokens) // that the last token sees
	keys, values := cache.matrices(kvHead, positions)

	for i := range rows {
		pack(w.query, i, rows, r.query[row(i):][:hd])
	}
	r.score(w, keys, rows, positions)
	for i := range rows {
		r.weigh(w.scores[i*kernel.Group:], rows, r.length+first+i/shared+1, positions)
	}
	for n := 0; n < values.Out; n += kernel.TileOut {
		width := min(kernel.TileOut, values.Out-n)
		r.moe.experts.kernels.Multiply(w.acc, values, n, width, w.scores, rows)
		for i := range rows {
			copy(r.heads[row(i)+n:][:min(width, hd-n)], w.acc[i*kernel.Stride(width):])
		}
	}
}

// score sets w.scores, (positions/8, rows, 8), to the products of queries and keys.
func (r *cpuText) score(w *textWorker, keys kernel.Matrix, rows, positions int) {
	for n := 0; n < positions; n += kernel.TileOut {
		width := min(kernel.TileOut, positions-n)
		r.moe.experts.kernels.Multiply(w.acc, keys, n, width, w.query, rows)
		for i := range rows {
			pack(w.scores[n*rows:], i, rows, w.acc[i*kernel.Stride(width):][:width])
		}
	}
}

// weigh turns a row of scores into its weights: the softmax over the positions that the
// token sees, and zero beyond. Groups of 8 are rows groups apart.
func (r *cpuText) weigh(scores []float32, rows, seen, positions int) {
	scale := float32(1 / math.Sqrt(float64(r.config.HeadDim)))
	at := func(p int) *float32 { return &scores[p/kernel.Group*rows*kernel.Group+p%kernel.Group] }
	highest := *at(0)
	for p := 1; p < seen; p++ {
		highest = max(highest, *at(p))
	}
	sum := 0.0
	for p := range seen {
		v := math.Exp(float64((*at(p) - highest) * scale))
		*at(p) = float32(v)
		sum += v
	}
	part := float32(1 / sum)
	for p := range seen {
		*at(p) *= part
	}
	for p := seen; p < positions; p++ {
		*at(p) = 0
	}
}
