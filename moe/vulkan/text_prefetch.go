//go:build cgo && linux

package vulkan

import (
	"context"
	"slices"

	"ufm/moe"
	"ufm/pager"
	"ufm/vk"
)

// A prefetch runs behind the group under way: its uploads are the last that the transfer
// queues were given, and nothing waits for them but the computes that read their slots. So
// they may still be under way when the host has its next answer.

// recordPrediction records the choice that the next layer's router would make of this
// layer's input: its logits are there since recordBefore.
func (x *text) recordPrediction(c *vk.Commands, l int) {
	s := x.cfg.Run.Shape
	if !x.predict || l+1 == s.Layers {
		return
	}
	tokens := len(x.batch.IDs)
	to := uint64(4 * (l + 1) * tokens * s.TopK)
	c.Dispatch(x.runner.kernels.topk, pushBytes(pushTopK{
		Logits: x.dense.nextLogits.Address(), Ids: x.dense.predicted.Address() + to,
		Weights: x.dense.nextWeights.Address(),
		Experts: uint32(s.Experts), TopK: uint32(s.TopK),
	}), tokens, 1, 1)
}

// prefetch asks the pager for what layer l is predicted to need.
func (x *text) prefetch(l int) error {
	s := x.cfg.Run.Shape
	if !x.ahead || l == s.Layers {
		return nil
	}
	n := len(x.batch.IDs) * s.TopK
	predicted := x.dense.predicted.Words()[l*n:][:n]
	x.wanted = moe.PrefetchOrder(s, l, predicted, x.wanted[:0])
	return x.place.Prefetch(x.wanted)
}

// uploadAhead records the uploads of a prefetch, in bundles that alternate between the
// transfer queues.
func (r *runner) uploadAhead(uploads []pager.Upload) error {
	for piece := range slices.Chunk(uploads, r.schedule.bundle()) {
		accesses := make([]pager.Access, len(piece))
		for i, u := range piece {
			accesses[i] = pager.Access{Expert: u.Expert, Slot: u.Slot, Evicted: u.Evicted}
		}
		if err := r.recordUpload(r.schedule.prefetch(accesses), accesses); err != nil {
			return err
		}
	}
	return nil
}

// Uploaded reports whether the last upload into s has finished: a hit on a prefetched
// expert is late where it has not.
func (r *runner) Uploaded(s pager.Slot) bool {
	for q, v := range r.schedule.written[s] {
		if v == 0 {
			continue
		}
		if reached, err := r.transfers[q].timeline.Value(); err != nil || reached < v {
			return false
		}
	}
	return true
}

// finishAhead is finish for a step whose uploads may outlast the computes: the recordings
// of a transfer queue that is still at work stay.
func (x *text) finishAhead(ctx context.Context, v uint64) error {
	if !x.ahead {
		return x.finish(ctx, v)
	}
	if err := x.submitAll(); err != nil {
		return err
	}
	x.waits++
	if err := x.compute.timeline.Wait(ctx, v); err != nil {
		return err
	}
	idle := true
	for _, t := range x.transfers {
		reached, err := t.timeline.Value()
		if err != nil {
			return err
		}
		idle = idle && reached >= t.submitted
	}
	if idle {
		return x.collectAll()
	}
	return x.collectComputes()
}

// drainAhead waits for prefetches that nothing has waited for, so that the recordings of a
// step are back at its end.
func (x *text) drainAhead(ctx context.Context) error {
	if !x.ahead {
		return nil
	}
	for _, t := range x.transfers {
		if err := t.timeline.Wait(ctx, t.submitted); err != nil {
			return err
		}
	}
	return x.collectAll()
}

// collectComputes takes what the compute queue was given, which it has finished.
func (r *runner) collectComputes() error {
	stamps, ok, err := r.compute.times()
	if err != nil {
		return err
	}
	r.times.Timed = r.times.Timed && ok
	for i := 0; i < len(stamps); i += 2 {
		r.times.Compute += nanoseconds(stamps[i+1] - stamps[i])
	}
	r.compute.recycle()
	r.tilesUsed = 0
	return nil
}
