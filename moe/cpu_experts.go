package moe

import "ufm/pager"

// cpuExperts computes the experts of one layer at a time. Its buffers hold one row
// for each pair of a token and one of its experts.
type cpuExperts struct {
	shape   Shape
	layout  Layout
	workers []*cpuWorker

	// The layer's rows by expert: expert e has rows first[e] to first[e+1].
	first  []int32 // (experts+1)
	pairs  []int32 // (tokens × top_k): token × top_k + place in its top-k
	tokens []int32 // (tokens × top_k): the token of each pair

	hidden []float32 // (pairs, d_hidden padded)
	result []float32 // (pairs, d_model padded)
}

// cpuWorker is one goroutine's scratch memory.
type cpuWorker struct {
	tile   tile
	up     []float32 // (max tokens, tileOut)
	gate   []float32 // (max tokens, tileOut); only swiglu
	logits []float32 // (experts)
}

// resident is an expert that is in device memory.
type resident struct {
	expert pager.ExpertID
	data   []byte // in the kernel layout
}

func newCPUExperts(s Shape, maxTokens, threads int) *cpuExperts {
	x := &cpuExperts{
		shape:  s,
		layout: NewLayout(s),
		first:  make([]int32, s.Experts+1),
		pairs:  make([]int32, maxTokens*s.TopK),
		tokens: make([]int32, maxTokens*s.TopK),
	}
	x.hidden = make([]float32, len(x.pairs)*x.layout.Hidden)
	x.result = make([]float32, len(x.pairs)*x.layout.In)
	for range threads {
		w := &cpuWorker{up: make([]float32, maxTokens*tileOut), logits: make([]float32, s.Experts)}
		if s.Form == SwiGLU {
			w.gate = make([]float32, maxTokens*tileOut)
		}
		x.workers = append(x.workers, w)
	}
	return x
}

// group sorts the pairs of ids (tokens, top_k) by expert and appends the experts in
// use to group, ascending.
func (x *cpuExperts) group(layer int, ids []uint32, group []pager.ExpertID) []pager.ExpertID {
	clear(x.first)
	for _, e := range ids {
		x.first[e+1]++
	}
	for e := range x.shape.Experts {
		if x.first[e+1] > 0 {
			group = append(group, x.shape.Paging().ID(layer, e))
		}
		x.first[e+1] += x.first[e]
	}
	for pair, e := range ids {
		at := x.first[e]
		x.pairs[at], x.tokens[at] = int32(pair), int32(pair/x.shape.TopK)
		x.first[e]++
	}
	copy(x.first[1:], x.first) // each entry had moved on to its successor's place
	x.first[0] = 0
	return group
}

// rows returns the pairs and the tokens that an expert has in this layer.
func (x *cpuExperts) rows(e pager.ExpertID) (pairs, tokens []int32) {
	index := int(e) % x.shape.Experts
	from, to := x.first[index], x.first[index+1]
	return x.pairs[from:to], x.tokens[from:to]
}

// compute runs experts on their rows of input, (tokens, d_model padded).
func (x *cpuExperts) compute(experts []resident, input []float32) {
	rows := 0
	for _, e := range experts {
		pairs, _ := x.rows(e.expert)
		rows += len(pairs)
	}
	workers := x.crew(rows * x.layout.In * x.layout.Hidden)
	tiles := (x.layout.Hidden + tileOut - 1) / tileOut
	each(workers, len(experts)*tiles, func(w *cpuWorker, i int) {
		x.expand(w, experts[i/tiles], i%tiles*tileOut, input)
	})
	tiles = (x.layout.In + tileOut - 1) / tileOut
	each(workers, len(experts)*tiles, func(w *cpuWorker, i int) {
		x.contract(w, experts[i/tiles], i%tiles*tileOut)
	})
}

// crew is as many workers as are worth waking for so many multiply-adds: waking one
// takes about as long as a hundred thousand.
func (x *cpuExperts) crew(operations int) []*cpuWorker {
	return x.workers[:min(len(x.workers), 1+operations/100_000)]
}

// expand computes hidden values n.. of an expert's rows.
func (x *cpuExperts) expand(w *cpuWorker, e resident, n int, input []float32) {
	l := x.layout
	pairs, tokens := x.rows(e.expert)
	up := matrix{e.data[l.Up:], l.DType, l.In, l.Hidden}
	up.multiply(w.up, &w.tile, n, input, tokens)
	if x.shape.Form == SwiGLU {
		gate := matrix{e.data[l.Gate:], l.DType, l.In, l.Hidden}
		gate.multiply(w.gate, &w.tile, n, input, tokens)
	}
	width := min(tileOut, l.Hidden-n)
	for i, pair := range pairs {
		hidden := x.hidden[int(pair)*l.Hidden+n:][:width]
		for j, v := range w.up[i*tileOut:][:width] {
			if x.shape.Form == SwiGLU {
				hidden[j] = silu(w.gate[i*tileOut+j]) * v
			} else {
				hidden[j] = gelu(v)
			}
		}
	}
}

// contract computes results n.. of an expert's rows.
func (x *cpuExperts) contract(w *cpuWorker, e resident, n int) {
	l := x.layout
	pairs, _ := x.rows(e.expert)
	down := matrix{e.data[l.Down:], l.DType, l.Hidden, l.In}
	down.multiply(w.up, &w.tile, n, x.hidden, pairs)
	width := min(tileOut, l.In-n)
	for i, pair := range pairs {
		copy(x.result[int(pair)*l.In+n:][:width], w.up[i*tileOut:][:width])
	}
}

// combine adds up a token's results in the order of its top-k, to y (d_model).
func (x *cpuExperts) combine(token int, weights, y []float32) {
	clear(y)
	for j, weight := range weights {
		result := x.result[(token*x.shape.TopK+j)*x.layout.In:]
		for n := range y {
			y[n] += weight * result[n]
		}
	}
}
