//go:build cgo && linux

package vulkan

import (
	"context"
	"encoding/binary"
	"errors"

	"ufm/internal/share"
	"ufm/moe"
	"ufm/pager"
	"ufm/vk"
)

// recordRouter records everything that leads to the layer's groups: gate product,
// top-k, grouping of rows by expert, gathering of inputs.
func (r *runner) recordRouter(c *vk.Commands, b *moe.Batch, l int) {
	if r.one {
		r.recordRoute(c, b, l)
		return
	}
	s, m, k := r.cfg.Shape, r.memory, r.kernels
	in, tokens := r.layout.In, b.Tokens
	choices := tokens * s.TopK
	x, at := r.layerInput(b, l)
	if r.text != nil {
		r.text.recordBefore(c, l)
	}
	r.recordGate(c, b, l)
	if r.text != nil {
		r.text.recordPrediction(c, l)
	}
	given := uint64(0)
	if b.Routing != nil {
		given = m.routing.Address() + uint64(4*l*choices)
	}
	normalize := uint32(0)
	if s.NormTopK {
		normalize = 1
	}
	c.Dispatch(k.topk, pushBytes(pushTopK{
		Logits: m.logits.Address(), Given: given, Ids: m.ids.Address(), Weights: m.weights.Address(),
		Experts: uint32(s.Experts), TopK: uint32(s.TopK), Normalize: normalize,
	}), tokens, 1, 1)
	r.barrierBeforeCapture(c, b)
	r.captureChoice(c, b, l)
	quads := (choices + 3*min(s.Experts, choices)) / 4
	plan := uint64(0)
	if r.planned {
		plan = m.plan.Address()
	}
	c.Dispatch(k.group, pushBytes(pushGroup{
		Ids: m.ids.Address(), Counts: m.counts.Address() + uint64(4*l*s.Experts),
		Rows: m.rows.Address(), Position: m.position.Address(),
		Plan: plan, Slots: m.slots.Address() + uint64(8*l*s.Experts),
		Choices: uint32(choices), TopK: uint32(s.TopK), Experts: uint32(s.Experts),
		Quads: uint32(quads), Rounded: k.roundedFrom(),
	}), 1, 1, 1)
	c.DispatchBarrier()
	c.Dispatch(k.gather, pushBytes(pushGather{
		X: x.Address() + uint64(at), Rows: m.rows.Address(), Gathered: m.gathered.Address(), D: uint32(in),
	}), over(k.gatherItems(in), gatherThreads), quads, 1)
	c.Barrier() // the host reads the counts, or indirect dispatches their sizes
}

// barrierBeforeCapture is the cheaper barrier, unless copies come next.
func (r *runner) barrierBeforeCapture(c *vk.Commands, b *moe.Batch) {
	if b.Capture != nil {
		c.Barrier()
	} else {
		c.DispatchBarrier()
	}
}

// captureChoice keeps the choice of a layer's router, if the batch asks for it.
func (r *runner) captureChoice(c *vk.Commands, b *moe.Batch, l int) {
	if b.Capture == nil {
		return
	}
	m, n := r.memory, int64(4*b.Tokens*r.cfg.Shape.TopK)
	c.Copy(m.captureExperts, int64(l)*n, m.ids, 0, n)
	c.Copy(m.captureWeights, int64(l)*n, m.weights, 0, n)
}

// recordInput records what brings a new input to the device, and keeps a layer's input if
// the batch asks for it.
func (r *runner) recordInput(c *vk.Commands, b *moe.Batch, l int) {
	m, in := r.memory, r.layout.In
	if r.newInput {
		c.Copy(m.input, 0, m.staged, 0, int64(4*r.inputs/r.cfg.Shape.DModel*in))
		c.Barrier()
		r.newInput = false
	}
	if b.Capture != nil {
		x, at := r.layerInput(b, l)
		state := int64(4 * b.Tokens * in)
		c.Copy(m.captureInput, int64(l)*state, x, at, state)
	}
}

// recordGate records the gate product of a layer.
func (r *runner) recordGate(c *vk.Commands, b *moe.Batch, l int) {
	s, m, k := r.cfg.Shape, r.memory, r.kernels
	in, tokens := r.layout.In, b.Tokens
	r.recordInput(c, b, l)
	x, at := r.layerInput(b, l)
	k.dispatchGate(c, pushGate{
		X: x.Address() + uint64(at), Gate: m.gates.Address() + uint64(4*l*s.Experts*in),
		Logits: m.logits.Address(),
		D4:     uint32(in / 4), Tokens: uint32(tokens), Experts: uint32(s.Experts),
	})
	c.DispatchBarrier()
}

// layerInput tells where a layer's input is: the caller's, or what the layer before left.
func (r *runner) layerInput(b *moe.Batch, l int) (buffer *vk.Buffer, offset int64) {
	if b.PerLayer {
		return r.memory.input, int64(l) * int64(4*b.Tokens*r.layout.In)
	}
	if l == 0 && r.text == nil {
		return r.memory.input, 0
	}
	return r.memory.x, 0
}

// recordCombine records the end of a layer: the weighted sum of expert outputs and, in a
// chain, the next layer's input.
func (r *runner) recordCombine(c *vk.Commands, b *moe.Batch, l int) {
	if r.text != nil {
		r.text.recordAfter(c, l)
		return
	}
	if r.one {
		r.recordAlone(c, b, l)
		r.captureOutput(c, b, l)
		return
	}
	m := r.memory
	chained := uint32(0)
	if !b.PerLayer {
		chained = 1
	}
	x, at := r.layerInput(b, l)
	kept := uint64(0)
	if b.Capture != nil {
		kept = m.moe.Address()
	}
	c.DispatchBarrier()
	c.Dispatch(r.kernels.combine, pushBytes(pushCombine{
		Y: m.y.Address(), Position: m.position.Address(), Weights: m.weights.Address(),
		X: x.Address() + uint64(at), Next: m.x.Address(), Moe: kept,
		DModel: uint32(r.cfg.Shape.DModel), Chained: chained,
	}), b.Tokens, 1, 1)
	if l+1 == r.cfg.Shape.Layers {
		c.Barrier() // the host goes on
	} else {
		r.barrierBeforeCapture(c, b)
	}
	r.captureOutput(c, b, l)
}

// captureOutput keeps what a layer's experts gave, if the batch asks for it.
func (r *runner) captureOutput(c *vk.Commands, b *moe.Batch, l int) {
	if b.Capture == nil {
		return
	}
	state := int64(4 * b.Tokens * r.layout.In)
	c.Copy(r.memory.captureOutput, int64(l)*state, r.memory.moe, 0, state)
	c.Barrier()
}

// recordTail records what follows a layer's experts: combine, and the next layer's
// router. So a layer with nothing missing is one submission.
func (r *runner) recordTail(c *vk.Commands, b *moe.Batch, l int) {
	r.recordCombine(c, b, l)
	if l+1 < r.cfg.Shape.Layers {
		r.recordRouter(c, b, l+1)
	}
}

// runGroup records a group and what follows it; it returns the value of the compute
// timeline that ends it. In ufm and baseline the caller submits what has not gone yet.
func (r *runner) runGroup(ctx context.Context, b *moe.Batch, l int, p pager.Plan) (uint64, error) {
	switch r.cfg.Mode {
	case moe.Naive:
		return r.runNaive(ctx, b, l, p)
	case moe.Published:
		return r.runPublished(ctx, b, l, p)
	}
	if err := r.runOps(r.schedule.group(p), b, l); err != nil {
		return 0, errors.Join(err, r.release())
	}
	return r.schedule.compute, nil
}

// runOps records the ops of a group. Where uploads have queues of their own they are recorded
// and submitted beside the computes, which may wait for them and they for those.
func (r *runner) runOps(ops []op, b *moe.Batch, l int) error {
	if !r.uploadsBeside() {
		for i, o := range ops {
			if err := r.recordOp(o, b, l, i == len(ops)-1); err != nil {
				return err
			}
		}
		return nil
	}
	if uploadsOf(ops) < manyUploads {
		for q := range r.transfers {
			if err := r.submitUploads(ops, q); err != nil {
				return err
			}
		}
		return r.recordComputes(ops, b, l)
	}
	errs := make([]error, 1+len(r.transfers))
	share.Do(len(errs), func(i int) {
		if i > 0 {
			errs[i] = r.submitUploads(ops, i-1)
		} else if errs[i] = r.recordComputes(ops, b, l); errs[i] == nil && r.waitsApart() {
			errs[i] = r.compute.batch.submit()
		}
	})
	return errors.Join(errs...)
}

// recordComputes records the computes of a group.
func (r *runner) recordComputes(ops []op, b *moe.Batch, l int) error {
	for i, o := range ops {
		if o.upload {
			continue
		}
		if err := r.recordOp(o, b, l, i == len(ops)-1); err != nil {
			return err
		}
	}
	return nil
}

// release lets go, after a failure, what waits for uploads or computes that were never submitted:
// what it computes does not matter any more, but it must end before anything can be freed. Each
// queue signals in its own order, so that no timeline goes back.
func (r *runner) release() error {
	for _, b := range r.batches {
		b.pending = b.pending[:0]
	}
	promise := func(t *recorder, given uint64) {
		if t.last = max(t.last, given); t.last > t.submitted {
			t.batch.pending = append(t.batch.pending, vk.Submission{
				Signal: []vk.Point{{Timeline: t.timeline, Value: t.last}},
			})
		}
	}
	promise(r.compute, r.schedule.compute)
	for _, t := range r.transfers {
		promise(t, r.schedule.transfer)
	}
	return r.submitAll()
}

// uploadsBeside reports whether a group's uploads are submitted apart from its computes, which
// takes each a good part of a millisecond for a large group. They may wait for computes that
// are submitted after them, so that they need queues of their own; and staging buffers must
// not, for the host itself waits for those.
func (r *runner) uploadsBeside() bool { return len(r.batches) > 1 && r.bank.ring == nil }

// waitsApart reports whether computes may wait for uploads that are submitted after them: always
// on a device that has queues for both, but not where a test lets one queue stand for several.
func (r *runner) waitsApart() bool { return r.compute.batch.queue != r.transfers[0].batch.queue }

// submitUploads records and submits the uploads of a group on one transfer queue.
func (r *runner) submitUploads(ops []op, queue int) error {
	for _, o := range ops {
		if o.upload && o.queue == queue {
			if err := r.recordUpload(o); err != nil {
				return err
			}
		}
	}
	return r.transfers[queue].batch.submit()
}

// recordOp records one op of a group; the last one takes the tail along.
func (r *runner) recordOp(o op, b *moe.Batch, l int, last bool) error {
	if o.upload {
		return r.recordUpload(o)
	}
	c, err := r.compute.begin(!o.accesses[0].Hit)
	if err != nil {
		return err
	}
	r.recordExperts(c, b, l, o.accesses)
	if last {
		r.recordTail(c, b, l)
	}
	return r.compute.end(c, o.signal, r.transferPoints(o.afterWrite)...)
}

// transferPoints are the waits for values of the transfer timelines.
func (r *runner) transferPoints(values transfers) []vk.Point {
	var points []vk.Point
	for q, v := range values {
		if v > 0 {
			points = append(points, vk.Point{Timeline: r.transfers[q].timeline, Value: v})
		}
	}
	return points
}

// recordExperts records both products of some experts: one dispatch for each product and
// class of rows, over a flat list of tiles.
func (r *runner) recordExperts(c *vk.Commands, b *moe.Batch, l int, accesses []pager.Access) {
	if r.one {
		r.recordOne(c, b, l, accesses)
		return
	}
	k, m := r.kernels, r.memory
	counts, layer := r.counts(l), l*r.cfg.Shape.Experts
	quadOf := r.quadOf(counts)
	first := make([]int, len(k.tiles)+1)
	tiles := m.tiles.Bytes()
	for class, t := range k.tiles {
		rows := t.rows
		first[class] = r.tilesUsed
		for _, a := range accesses {
			e := int(a.Expert) - layer
			if k.class(int(counts[e])) != class {
				continue
			}
			address := r.pool.at(int(a.Slot)).address()
			for row := 0; row < int(counts[e]); row += rows {
				tile := tiles[r.tilesUsed*tileBytes:]
				binary.LittleEndian.PutUint64(tile, address)
				binary.LittleEndian.PutUint32(tile[8:], uint32(quadOf[e]+row/4))
				binary.LittleEndian.PutUint32(tile[12:], uint32(min(rows, int(counts[e])-row)))
				r.tilesUsed++
			}
		}
	}
	first[len(k.tiles)] = r.tilesUsed
	r.recordProduct(c, &k.up, m.gathered, m.hidden, first)
	c.DispatchBarrier()
	r.recordProduct(c, &k.down, m.hidden, m.y, first)
}

// quadOf is the first quad of each expert, as group.comp lays the rows out.
func (r *runner) quadOf(counts []uint32) []int {
	quads := make([]int, len(counts))
	next := 0
	for e, n := range counts {
		quads[e] = next
		next += int(n+3) / 4
	}
	return quads
}

// recordProduct dispatches one product for every class that has tiles: those of class i
// are first[i] to first[i+1].
func (r *runner) recordProduct(c *vk.Commands, p *product, src, dst *vk.Buffer, first []int) {
	for i, pipeline := range p.pipelines {
		n := first[i+1] - first[i]
		if n == 0 {
			continue
		}
		c.Dispatch(pipeline, r.pushProduct(p, r.memory.tiles, src, dst, first[i]),
			over(p.outputs, p.columns[i]), n, 1)
	}
}

// pushProduct encodes the constants of one product over the tiles from first on.
func (r *runner) pushProduct(p *product, tiles, src, dst *vk.Buffer, first int) []byte {
	return pushBytes(pushExpert{
		Tiles: tiles.Address(), Src: src.Address(), Dst: dst.Address(),
		Weight: uint64(p.weight), Gate: uint64(p.gate),
		Inputs: uint32(p.inputs), Outputs: uint32(p.outputs), First: uint32(first),
	})
}

// over is the number of pieces of size that cover n.
func over(n, size int) int { return (n + size - 1) / size }
