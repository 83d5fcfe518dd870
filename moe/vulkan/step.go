//go:build cgo && linux

package vulkan

import (
	"context"
	"errors"
	"time"

	"ufm/moe"
	"ufm/pager"
	"ufm/vk"
)

// Step runs a batch through all layers.
func (r *runner) Step(ctx context.Context, b *moe.Batch) (moe.StepTimes, error) {
	if r.failed != nil {
		return moe.StepTimes{}, r.failed
	}
	if r.bank == nil {
		return moe.StepTimes{}, errors.New("vulkan: step before Attach")
	}
	if err := b.Validate(r.cfg, r.inputs); err != nil {
		return moe.StepTimes{}, err
	}
	if err := r.step(ctx, b); err != nil {
		r.failed = err
		return moe.StepTimes{}, err
	}
	return r.times, nil
}

func (r *runner) step(ctx context.Context, b *moe.Batch) error {
	if b.Tokens == 1 { // before the clock starts
		if err := r.readyToken(); err != nil {
			return err
		}
	}
	start := time.Now()
	r.startTimes()
	r.one = b.Tokens == 1 && r.token.pipeline != nil
	submits, waits := r.submits(), r.waits
	if err := r.fillInputs(b); err != nil {
		return err
	}
	run := r.stepPaged
	if r.resident() {
		run = r.stepResident
	}
	if err := run(ctx, b); err != nil {
		return err
	}
	if err := r.checkToken(); err != nil {
		return err
	}
	r.readCapture(b)
	r.times.Wall = time.Since(start)
	r.times.Submits = r.submits() - submits
	r.times.Waits = r.waits - waits
	return nil
}

// stepPaged asks the pager layer by layer: the host waits once a layer, for the router.
func (r *runner) stepPaged(ctx context.Context, b *moe.Batch) error {
	c, err := r.compute.begin(false)
	if err != nil {
		return err
	}
	r.recordRouter(c, b, 0)
	value := r.schedule.next()
	if err := r.compute.end(c, value); err != nil {
		return err
	}
	for l := range r.cfg.Shape.Layers {
		if err := r.await(ctx, value); err != nil {
			return err
		}
		plan, err := r.place.Request(r.group(b, l))
		if err != nil {
			return err
		}
		if value, err = r.runGroup(ctx, b, l, plan); err != nil {
			return err
		}
	}
	return r.finish(ctx, value)
}

// stepResident runs the step as one submission and asks the pager afterwards: with every
// expert on the device there is nothing to decide.
func (r *runner) stepResident(ctx context.Context, b *moe.Batch) error {
	c, err := r.compute.begin(false)
	if err != nil {
		return err
	}
	r.recordResident(c, b)
	value := r.schedule.next()
	var after []vk.Point
	if !r.settled {
		after, r.settled = r.uploadsSoFar(), true
	}
	if err := r.compute.end(c, value, after...); err != nil {
		return err
	}
	if err := r.finish(ctx, value); err != nil {
		return err
	}
	return r.requestAll(b)
}

// uploadsSoFar are the waits for all that the transfer queues have been given.
func (r *runner) uploadsSoFar() []vk.Point {
	var values transfers
	for q, t := range r.transfers {
		values[q] = t.submitted
	}
	return r.transferPoints(values)
}

// requestAll asks the pager for the groups of a step that has run.
func (r *runner) requestAll(b *moe.Batch) error {
	for l := range r.cfg.Shape.Layers {
		if _, err := r.place.Request(r.group(b, l)); err != nil {
			return err
		}
	}
	return nil
}

// resident reports whether all experts are on the device, as they then stay. Naive has a
// place for each but keeps none.
func (r *runner) resident() bool {
	if !r.allResident && r.cfg.Mode != moe.Naive && r.cfg.Mode != moe.Published &&
		r.place.Full() {
		r.allResident = r.writeSlots()
	}
	return r.allResident
}

func (r *runner) submits() int {
	n := 0
	for _, b := range r.batches {
		n += b.submits
	}
	return n
}

// group reads what the router of layer l has left for the host: the experts that have rows.
func (r *runner) group(b *moe.Batch, l int) pager.Group {
	r.experts = r.experts[:0]
	if r.one && r.text != nil {
		r.experts = r.text.chosen(r.experts, l) // in a cache line; counts are in eight or more
	} else {
		for e, n := range r.counts(l) {
			r.rounded = r.rounded || n >= minRounded && r.kernels.rounds()
			if n > 0 {
				r.experts = append(r.experts, r.cfg.Shape.Paging().ID(l, e))
			}
		}
	}
	return pager.Group{Step: b.Step, Layer: l, Phase: b.Phase, Experts: r.experts}
}

// counts are the rows of each expert of a layer.
func (r *runner) counts(l int) []uint32 {
	n := r.cfg.Shape.Experts
	return r.memory.counts.Words()[l*n:][:n]
}

// fillInputs writes the step's inputs where the device reads them.
func (r *runner) fillInputs(b *moe.Batch) error {
	s := r.cfg.Shape
	if b.Capture != nil {
		if err := r.memory.capture(s, r.cfg.MaxTokens); err != nil {
			return memoryError(err)
		}
	}
	if b.Input != nil {
		padRows(r.memory.staged.Floats(), b.Input, s.DModel, r.layout.In)
		r.inputs, r.newInput = len(b.Input), true
	}
	copy(r.memory.routing.Words(), b.Routing)
	return nil
}

// readCapture copies what the device left for the host.
func (r *runner) readCapture(b *moe.Batch) {
	c := b.Capture
	if c == nil {
		return
	}
	s := r.cfg.Shape
	cutRows(c.Input, r.memory.captureInput.Floats(), s.DModel, r.layout.In)
	cutRows(c.Output, r.memory.captureOutput.Floats(), s.DModel, r.layout.In)
	copy(c.Experts, r.memory.captureExperts.Words())
	copy(c.Weights, r.memory.captureWeights.Floats())
}

// padRows copies rows of width values into rows of padded values; the rest stays.
func padRows(dst, src []float32, width, padded int) {
	for i := 0; i*width < len(src); i++ {
		copy(dst[i*padded:], src[i*width:(i+1)*width])
	}
}

// cutRows is the inverse of padRows, for as many rows as dst holds.
func cutRows(dst, src []float32, width, padded int) {
	for i := 0; i*width < len(dst); i++ {
		copy(dst[i*width:(i+1)*width], src[i*padded:])
	}
}
