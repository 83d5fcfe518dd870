package moe

import (
	"ufm/internal/kernel"
	"ufm/pager"
)

// cpuExperts computes the experts of one layer at a time. Its buffers hold one row
// for each pair of a token and one of its experts.
type cpuExperts struct {
	shape   Shape
	layout  Layout
	kernels *kernel.Set
	workers []*cpuWorker

	// The layer's rows by expert: expert e has rows first[e] to first[e+1].
	first  []int32 // (experts+1)
	pairs  []int32 // (tokens × top_k): token × top_k + place in its top-k
	tokens []int32 // (tokens × top_k): the token of each pair

	// What the kernels read lies as they read it: an expert's rows, which begin at row
	// first[e], are (d_model padded / 8, rows, 8).
	input  []float32 // (pairs, d_model padded)
	hidden []float32 // (pairs, d_hidden padded)
	result []float32 // (pairs, d_model padded), rows in the order of pairs
}

// cpuWorker is one goroutine's scratch memory.
type cpuWorker struct {
	up     []float32 // (max tokens, scratchWidth)
	gate   []float32 // (max tokens, scratchWidth); only swiglu
	logits []float32 // (experts)
}

// resident is an expert that is in device memory.
type resident struct {
	expert pager.ExpertID
	data   []byte // in the kernel layout
}

func newCPUExperts(s Shape, maxTokens, threads int, kernels *kernel.Set) *cpuExperts {
	x := &cpuExperts{
		shape:   s,
		layout:  NewLayout(s),
		kernels: kernels,
		first:   make([]int32, s.Experts+1),
		pairs:   make([]int32, maxTokens*s.TopK),
		tokens:  make([]int32, maxTokens*s.TopK),
	}
	x.input = make([]float32, len(x.pairs)*x.layout.In)
	x.hidden = make([]float32, len(x.pairs)*x.layout.Hidden)
	x.result = make([]float32, len(x.pairs)*x.layout.In)
	for range threads {
		w := &cpuWorker{up: make([]float32, maxTokens*scratchWidth(x.layout)), logits: make([]float32, s.Experts)}
		if s.Form == SwiGLU {
			w.gate = make([]float32, maxTokens*scratchWidth(x.layout))
		}
		x.workers = append(x.workers, w)
	}
	return x
}

// scratchWidth is the most values that a tile has for one row.
func scratchWidth(l Layout) int {
	return kernel.Stride(min(kernel.TileOut, max(l.In, l.Hidden)))
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

// rows returns an expert's first row of this layer and how many it has.
func (x *cpuExperts) rows(e pager.ExpertID) (first, rows int) {
	index := int(e) % x.shape.Experts
	return int(x.first[index]), int(x.first[index+1] - x.first[index])
}

// gather brings the rows of a group, which are those of input (tokens, d_model padded),
// to the experts that they go to.
func (x *cpuExperts) gather(group []pager.ExpertID, input []float32) {
	width := x.layout.In
	all := int(x.first[x.shape.Experts])
	each(x.crew(all*width), len(group), func(_ *cpuWorker, i int) {
		first, rows := x.rows(group[i])
		packed := x.input[first*width:]
		for r, token := range x.tokens[first:][:rows] {
			row := input[int(token)*width:][:width]
			for k := 0; k < width; k += kernel.Group {
				copy(packed[k*rows+r*kernel.Group:][:kernel.Group], row[k:])
			}
		}
	})
}

// compute runs experts on the rows that were gathered.
func (x *cpuExperts) compute(experts []resident) {
	all, most := 0, 0
	for _, e := range experts {
		_, rows := x.rows(e.expert)
		all, most = all+rows, max(most, rows)
	}
	workers := x.crew(all * x.layout.In * x.layout.Hidden)
	tiled := func(out int, f func(w *cpuWorker, e resident, n, width int)) {
		tile := tileWidth(out, len(experts), most, len(workers))
		tiles := (out + tile - 1) / tile
		each(workers, len(experts)*tiles, func(w *cpuWorker, i int) {
			n := i % tiles * tile
			f(w, experts[i/tiles], n, min(tile, out-n))
		})
	}
	tiled(x.layout.Hidden, x.expand)
	tiled(x.layout.In, x.contract)
}

// tileWidth cuts matrices of out outputs into tiles as wide as can be, such that there
// are enough of them to keep the workers equally busy and that one tile's outputs of
// rows rows stay in a core's own cache.
func tileWidth(out, experts, rows, workers int) int {
	const cache = 256 << 10
	width := kernel.TileOut
	for width > kernel.MinTileOut && (experts*out < 4*workers*width || 4*rows*width > cache) {
		width /= 2
	}
	return width
}

// crew is as many workers as are worth waking for so many multiply-adds.
func (x *cpuExperts) crew(operations int) []*cpuWorker {
	return x.workers[:min(len(x.workers), 1+operations/wakeFor)]
}

// wakeFor is how many multiply-adds take as long as waking a goroutine.
const wakeFor = 100_000

// matrix is one of an expert's, at a place of its data.
func (x *cpuExperts) matrix(e resident, at int64, in, out int) kernel.Matrix {
	return kernel.Matrix{Data: e.data[at:], Storage: storageOf(x.layout.DType), In: in, Out: out}
}

func storageOf(t DType) kernel.Storage {
	return [...]kernel.Storage{F32: kernel.F32, F16: kernel.F16, BF16: kernel.BF16}[t]
}

// expand computes width hidden values, from n, of an expert's rows.
func (x *cpuExperts) expand(w *cpuWorker, e resident, n, width int) {
	l := x.layout
	first, rows := x.rows(e.expert)
	input, hidden := x.input[first*l.In:], x.hidden[first*l.Hidden+n*rows:]
	x.kernels.Multiply(w.up, x.matrix(e, l.Up, l.In, l.Hidden), n, width, input, rows)
	if x.shape.Form == SwiGLU {
		x.kernels.Multiply(w.gate, x.matrix(e, l.Gate, l.In, l.Hidden), n, width, input, rows)
		x.kernels.SwiGLU(hidden, w.gate, w.up, rows, width)
	} else {
		x.kernels.GELU(hidden, w.up, rows, width)
	}
}

// contract computes width results, from n, of an expert's rows.
func (x *cpuExperts) contract(w *cpuWorker, e resident, n, width int) {
	l := x.layout
	first, rows := x.rows(e.expert)
	hidden := x.hidden[first*l.Hidden:]
	x.kernels.Multiply(w.up, x.matrix(e, l.Down, l.Hidden, l.In), n, width, hidden, rows)
	for i, pair := range x.pairs[first:][:rows] {
		copy(x.result[int(pair)*l.In+n:][:width], w.up[i*kernel.Stride(width):])
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
