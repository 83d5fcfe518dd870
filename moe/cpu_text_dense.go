package moe

import (
	"context"
	"fmt"

	"ufm/internal/kernel"
)

// cpuDense are a model's weights outside its experts: matrices as they are stored, in
// the kernel layout, and vectors as float32.
type cpuDense struct {
	embedding []byte // (vocab, d_model) in natural order
	dtype     DType
	layers    []denseLayer
	finalNorm []float32 // (d_model)
	head      linear
}

// denseLayer are the weights of one layer.
type denseLayer struct {
	attentionNorm []float32 // (d_model)
	query         linear
	key           linear
	value         linear
	queryNorm     []float32 // (head_dim) or (heads × head_dim) or nil
	keyNorm       []float32 // (head_dim) or (kv_heads × head_dim) or nil
	output        linear
	moeNorm       []float32 // (d_model)
}

// linear is a matrix in the kernel layout.
type linear struct {
	matrix kernel.Matrix // In and Out are padded
	out    int
}

// denseBytes is what cpuDense takes. A tied head is there twice: the embedding is read
// by rows, the head by columns.
func denseBytes(m TextModel) float64 {
	c, size := m.Config(), float64(m.DenseDType().Size())
	bytes := 0.0
	for kind := range Head + 1 {
		out, in := c.DenseShape(kind)
		each := float64(pad(out)) * float64(pad(in)) * size
		switch {
		case in == 1:
			each = 4 * float64(out)
		case kind == Embedding:
			each = float64(out) * float64(in) * size
		}
		if kind.PerLayer() {
			each *= float64(c.Layers)
		}
		bytes += each
	}
	return bytes
}

// read takes all weights from the model.
func (d *cpuDense) read(ctx context.Context, m TextModel, workers []*textWorker) error {
	r := &denseLoader{ctx: ctx, model: m, workers: workers}
	d.dtype = m.DenseDType()
	d.layers = make([]denseLayer, m.Config().Layers)
	for l := range d.layers {
		d.layers[l] = denseLayer{
			attentionNorm: r.vector(AttentionNorm, l),
			query:         r.linear(Query, l),
			key:           r.linear(Key, l),
			value:         r.linear(Value, l),
			queryNorm:     r.vector(QueryNorm, l),
			keyNorm:       r.vector(KeyNorm, l),
			output:        r.linear(AttentionOutput, l),
			moeNorm:       r.vector(MoENorm, l),
		}
	}
	d.finalNorm = r.vector(FinalNorm, 0)
	d.head = r.linear(Head, 0)
	d.embedding = r.natural(Embedding, 0, newMemory(r.bytes(Embedding)))
	return r.err
}

// denseLoader reads weights until one fails.
type denseLoader struct {
	ctx     context.Context
	model   TextModel
	workers []*textWorker
	scratch []byte // a matrix in natural order, on its way to the kernel layout
	err     error
}

func (r *denseLoader) vector(kind DenseKind, layer int) []float32 {
	if r.err != nil {
		return nil
	}
	v, err := r.model.Dense(kind, layer)
	n, _ := r.model.Config().DenseShape(kind)
	if err == nil && len(v) != n {
		err = fmt.Errorf("moe: %s has %d values, not %d", kind.tensor(layer), len(v), n)
	}
	r.err = err
	return v
}

// bytes is the size of a matrix as the model has it.
func (r *denseLoader) bytes(kind DenseKind) int64 {
	out, in := r.model.Config().DenseShape(kind)
	return int64(out) * int64(in) * int64(r.model.DenseDType().Size())
}

// natural reads a matrix as the model has it.
func (r *denseLoader) natural(kind DenseKind, layer int, raw []byte) []byte {
	if r.err == nil {
		r.err = r.ctx.Err()
	}
	if r.err == nil {
		r.err = r.model.FillDense(kind, layer, raw)
	}
	return raw
}

// linear reads a matrix and puts it into the kernel layout.
func (r *denseLoader) linear(kind DenseKind, layer int) linear {
	size, t := r.bytes(kind), r.model.DenseDType()
	if int64(len(r.scratch)) < size {
		r.scratch = newMemory(size)
	}
	raw := r.natural(kind, layer, r.scratch[:size])
	if r.err != nil {
		return linear{}
	}
	out, in := r.model.Config().DenseShape(kind)
	m := kernel.Matrix{
		Data:    newMemory(int64(pad(out)) * int64(pad(in)) * int64(t.Size())),
		Storage: storageOf(t), In: pad(in), Out: pad(out),
	}
	const block = 64
	rowBytes := in * t.Size()
	each(r.workers, (out+block-1)/block, func(_ *textWorker, i int) {
		first := i * block
		rows := min(block, out-first)
		transposeRows(m.Data, raw[first*rowBytes:][:rows*rowBytes], t, first, rows, m.Out)
	})
	return linear{matrix: m, out: out}
}

// multiply sets y, (rows, out), to the product of the matrix and the rows of x, which
// are packed: (in/8, rows, 8).
func (r *cpuText) multiply(y []float32, m linear, x []float32, rows int) {
	workers := r.crew(rows * m.matrix.In * m.out)
	tile := tileWidth(m.matrix.Out, 1, rows, len(workers))
	each(workers, (m.matrix.Out+tile-1)/tile, func(w *textWorker, i int) {
		n := i * tile
		width := min(tile, m.matrix.Out-n)
		r.moe.experts.kernels.Multiply(w.acc, m.matrix, n, width, x, rows)
		for row := range rows {
			copy(y[row*m.out+n:][:min(width, m.out-n)], w.acc[row*kernel.Stride(width):])
		}
	})
}

// crew is as many workers as are worth waking for so many multiply-adds.
func (r *cpuText) crew(operations int) []*textWorker {
	return r.workers[:min(len(r.workers), 1+operations/wakeFor)]
}

// pack brings row of rows to where products read it. What pads it becomes zero.
func pack(packed []float32, row, rows int, x []float32) {
	for k := 0; k < len(x); k += kernel.Group {
		group := packed[k*rows+row*kernel.Group:][:kernel.Group]
		clear(group[copy(group, x[k:]):])
	}
}
