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
// queues were given, and nothing waits for them but the computes that read their slots, and the
// next token that goes onward. So they may still be under way when the host has its next answer.

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
	if r.text != nil {
		r.text.fetched = true
	}
	for piece := range slices.Chunk(uploads, r.schedule.bundle()) {
		accesses := make([]pager.Access, len(piece))
		for i, u := range piece {
			accesses[i] = pager.Access{Expert: u.Expert, Slot: u.Slot, Evicted: u.Evicted}
		}
		if err := r.recordUpload(r.schedule.prefetch(accesses)); err != nil {
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

// collectAhead is collect, after prefetches that nothing has waited for: the recordings of a step
// are back at its end.
func (x *text) collectAhead(ctx context.Context) error {
	if x.ahead {
		for _, t := range x.transfers {
			if err := t.timeline.Wait(ctx, t.submitted); err != nil {
				return err
			}
			t.finished(t.submitted)
		}
	}
	return x.collect()
}
