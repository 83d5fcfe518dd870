//go:build cgo && linux

package vulkan

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"ufm/internal/share"
	"ufm/moe"
	"ufm/pager"
	"ufm/vk"
)

// text is what surrounds the experts of a language model on the device: it records
// attention before a layer's router and the residual stream after its experts. A runner
// that has one runs whole models; see text_layer.go for the forward pass.
type text struct {
	*runner
	model   moe.TextModel
	cfg     moe.TextConfig
	sizes   textSizes
	kernels *textKernels
	dense   *textMemory

	position int            // tokens of the sequence
	batch    *moe.TextBatch // under way
	ahead    bool           // it prefetches
	predict  bool           // what the next layer's gate would choose is computed too
	onward   bool           // the device goes from layer to layer until an expert is missing
	fetched  bool           // something was prefetched since a token went onward
	set      int            // that of a single token's choice
	next     begun          // token, before the host knows which it is
	wanted   []pager.ExpertID
}

// textRunner runs a whole language model; it is a runner of the model's experts with a text
// around them.
type textRunner struct {
	*runner
}

var _ moe.TextBackend = (*backend)(nil)

// NewTextRunner compiles the kernels and takes the pool, the weights' and the cache's memory.
func (b *backend) NewTextRunner(cfg moe.TextConfig, m moe.TextModel) (moe.TextRunner, error) {
	if err := cfg.Validate(m); err != nil {
		return nil, err
	}
	if dim := m.Config().HeadDim; dim%4 != 0 || dim > maxHeadDim {
		return nil, fmt.Errorf("vulkan: head_dim %d: attention takes multiples of 4 up to %d",
			dim, maxHeadDim)
	}
	if b.stuck {
		return nil, errStuck
	}
	cfg.Run.Exact = true // text is scored, and compared with what other budgets gave
	if err := checkDispatches(b.device.Info(), cfg.Run); err != nil {
		return nil, err
	}
	r := &runner{backend: b, device: b.device, cfg: cfg.Run, layout: moe.NewLayout(cfg.Run.Shape)}
	r.text = &text{runner: r, model: m, cfg: cfg}
	if err := r.open(b); err != nil {
		return nil, errors.Join(memoryError(err), r.Close())
	}
	if err := r.text.open(b); err != nil {
		return nil, errors.Join(memoryError(err), r.Close())
	}
	return &textRunner{r}, nil
}

// TextMemory lists the device memory of everything but the pool.
func (b *backend) TextMemory(cfg moe.TextConfig, m moe.TextModel) []moe.MemoryPart {
	if cfg.Validate(m) != nil {
		return nil // NewTextRunner tells what is wrong
	}
	experts := memory{parts: b.matrices, tuning: newTuning(b.device.Info())}
	experts.take(cfg.Run, 1)
	sizes := newTextSizes(b, cfg, m)
	var weights, cache, activations textMemory
	weights.takeWeights(sizes)
	cache.takeCache(sizes)
	activations.takeActivations(sizes)
	return []moe.MemoryPart{
		{What: "dense weights", Bytes: weights.local},
		{What: "KV cache", Bytes: cache.local},
		{What: "activations", Bytes: activations.local + experts.local},
	}
}

// open takes the memory and compiles the kernels.
func (x *text) open(b *backend) (err error) {
	x.sizes = newTextSizes(b, x.cfg, x.model)
	if x.dense, err = newTextMemory(b.device, x.sizes); err != nil {
		return err
	}
	x.own(x.dense)
	x.dense.writeRows(x.sizes.tokens)
	if x.kernels, err = b.textKernelsFor(x.sizes); err != nil {
		return err
	}
	if x.kernels.token == nil {
		return nil
	}
	x.addOps()
	return x.meet(&x.kernels.compiled)
}

// Attach uploads the dense weights, the gates and, in Baseline, every expert.
func (t *textRunner) Attach(ctx context.Context, b moe.Bank) error {
	if err := t.runner.Attach(ctx, b); err != nil {
		return err
	}
	return t.text.upload(ctx)
}

// Reset empties the sequence.
func (t *textRunner) Reset() {
	if t.text != nil {
		t.text.position = 0
	}
}

// Position is the number of tokens of the sequence.
func (t *textRunner) Position() int {
	if t.text == nil {
		return 0
	}
	return t.text.position
}

// Forward appends b to the sequence. ctx can end it where the host is asked for a layer; the
// sequence then is as it was before.
func (t *textRunner) Forward(ctx context.Context, b *moe.TextBatch) (moe.StepTimes, error) {
	if err := t.check(b); err != nil {
		return moe.StepTimes{}, err
	}
	x := t.text
	err := x.forget()
	if err == nil {
		err = x.forward(ctx, b)
	}
	var stop *stopped
	if errors.As(err, &stop) {
		return moe.StepTimes{}, stop.err
	}
	if err != nil {
		t.failed = err
		return moe.StepTimes{}, err
	}
	x.position += len(b.IDs)
	return t.times, nil
}

// check tells why b cannot be appended.
func (t *textRunner) check(b *moe.TextBatch) error {
	if t.failed != nil {
		return t.failed
	}
	if t.bank == nil {
		return errors.New("vulkan: forward before Attach")
	}
	return b.Validate(t.text.cfg, t.text.sizes.Config, t.text.position)
}

// stopped is the end of a context at a point where the device is idle and nothing is
// recorded: it does no harm.
type stopped struct{ err error }

func (s *stopped) Error() string { return s.err.Error() }

// forward runs b through all layers.
func (x *text) forward(ctx context.Context, b *moe.TextBatch) error {
	start := time.Now()
	x.startTimes()
	submits, waits := x.submits(), x.waits
	x.begin(b)
	step := &moe.Batch{Step: b.Step, Tokens: len(b.IDs), Phase: b.Phase, Routing: b.Routing}
	if err := ctx.Err(); err != nil {
		return &stopped{err}
	}
	run := x.forwardPaged
	if x.resident() {
		run = x.stepResident
		ctx = context.WithoutCancel(ctx) // a token or a chunk: there is no point in between
	}
	if err := run(ctx, step); err != nil {
		return err
	}
	if err := x.checkToken(); err != nil {
		return err
	}
	if err := x.moreLogits(ctx); err != nil {
		return err
	}
	x.readBack()
	x.times.Wall = time.Since(start)
	x.times.Submits = x.submits() - submits
	x.times.Waits = x.waits - waits
	return nil
}

// forwardPaged asks the pager layer by layer, as stepPaged does, and prefetches the next
// layer's experts behind those of this one. A single token comes back only where an expert is
// missing.
func (x *text) forwardPaged(ctx context.Context, b *moe.Batch) error {
	wait := context.WithoutCancel(ctx)
	c, err := x.compute.begin(false)
	if err != nil {
		return err
	}
	x.recordRouter(c, b, 0)
	var after []vk.Point
	if x.onward && x.fetched { // it reads slots without asking the scheduler
		after, x.fetched = x.uploadsSoFar(), false
	}
	value := x.schedule.next()
	if err := x.compute.end(c, value, after...); err != nil {
		return err
	}
	for l := 0; ; l++ {
		if err := x.await(wait, value); err != nil {
			return err
		}
		if l, err = x.passed(b, l); err != nil {
			return err
		}
		if l == x.cfg.Run.Shape.Layers {
			return x.collectAhead(wait)
		}
		if err := ctx.Err(); err != nil {
			return &stopped{errors.Join(err, x.collectAhead(wait))}
		}
		plan, err := x.place.Request(x.group(b, l))
		if err != nil {
			return err
		}
		if value, err = x.runGroup(wait, b, l, plan); err != nil {
			return err
		}
		if err := x.prefetch(l + 1); err != nil {
			return errors.Join(err, x.release())
		}
	}
}

// begin writes what the device reads of b.
func (x *text) begin(b *moe.TextBatch) {
	x.batch, x.one = b, len(b.IDs) == 1 && x.token.pipeline != nil
	x.ahead = x.cfg.Prefetch && !b.NoPrefetch && !x.resident()
	x.predict = x.ahead || b.Predicted != nil
	x.onward = x.one && x.token.together > 0 && !x.ahead && !x.resident()
	x.set = 0
	ids := x.dense.ids.Words()[x.position:]
	for i, id := range b.IDs {
		ids[i] = uint32(id)
	}
	copy(x.runner.memory.routing.Words(), b.Routing)
	if x.onMatrices(len(b.IDs)) {
		x.writeTokenTiles()
	}
}

// moreLogits computes the logits that did not fit the buffer of the step's own, piece by
// piece, and takes them all to the host.
func (x *text) moreLogits(ctx context.Context) error {
	vocab := x.sizes.Vocab
	rows := len(x.batch.Logits) / vocab
	for first := 0; first < rows; first += x.sizes.logits {
		n := min(rows-first, x.sizes.logits)
		if first > 0 {
			if err := x.runNow(ctx, func(c *vk.Commands) { x.recordHead(c, first, n) }); err != nil {
				return err
			}
		}
		for row := range n {
			copyWide(x.batch.Logits[(first+row)*vocab:][:vocab], x.dense.logits.Floats()[row*x.sizes.vocab:])
		}
	}
	return nil
}

// copyWide copies a row of a large vocabulary with several goroutines: the device has just
// written it, so that every line comes from memory.
func copyWide(dst, src []float32) {
	const piece = 1 << 15
	share.Do(over(len(dst), piece), func(i int) {
		copy(dst[i*piece:min((i+1)*piece, len(dst))], src[i*piece:])
	})
}

// chosen appends the experts of a single token in layer l, ascending.
func (x *text) chosen(list []pager.ExpertID, l int) []pager.ExpertID {
	paging, k := x.cfg.Run.Shape.Paging(), x.cfg.Run.Shape.TopK
	for _, e := range x.dense.experts.Words()[x.choiceAt(x.set, l):][:k] {
		list = append(list, paging.ID(l, int(e)))
	}
	slices.Sort(list)
	return list
}

// readBack copies what the device left of the routers' choice.
func (x *text) readBack() {
	b, m := x.batch, x.dense
	copy(b.Experts, m.experts.Words())
	copy(b.Weights, m.weights.Floats())
	first := len(b.IDs) * x.cfg.Run.Shape.TopK // layer 0 has no layer before it
	for i := range b.Predicted[:min(first, len(b.Predicted))] {
		b.Predicted[i] = moe.NoPrediction
	}
	if b.Predicted != nil {
		copy(b.Predicted[first:], m.predicted.Words()[first:])
	}
	x.batch = nil
}
