package moe

import "math/rand/v2"

// stickyWindow is the number of tokens after which the chain of a sticky routing
// starts afresh, so that any step can be had without drawing all before it.
const stickyWindow = 256

// stickyState is where the last Fill left the chain, so that steps asked for in
// their order cost no more than their own tokens.
type stickyState struct {
	next   int      // the step that may go on from here
	tokens int      // a step, for which that holds
	ids    []uint32 // (layers, top_k) of the last token
}

// fillSticky keeps each of the previous token's experts with chance r.keep and draws
// the others uniformly; the kept ones come first. The previous token of a step's
// first is the last of the step before; a chain starts at every window of steps.
func (r *Routing) fillSticky(step, tokens int, dst []uint32) error {
	if tokens == 0 {
		return nil
	}
	window := max(1, stickyWindow/tokens)
	first := step - step%window
	if r.last.next != step || r.last.tokens != tokens {
		for s := first; s < step; s++ {
			r.stickyStep(s, tokens, s == first, dst)
		}
	}
	r.stickyStep(step, tokens, step == first, dst)
	return nil
}

// stickyStep draws one step and notes its last token. fresh starts a chain.
func (r *Routing) stickyStep(step, tokens int, fresh bool, dst []uint32) {
	k := r.shape.TopK
	if r.last.ids == nil {
		r.last.ids = make([]uint32, r.shape.Layers*k)
	}
	for l := range r.shape.Layers {
		rng, ids := r.rng(step, l), r.layerIDs(dst, l)
		previous := r.last.ids[l*k:][:k]
		for t := range tokens {
			token := ids[t*k:][:k]
			if fresh && t == 0 {
				drawDistinct(rng, r.shape.Experts, token[:0], token)
			} else {
				r.stickyToken(rng, previous, token)
			}
			copy(previous, token)
		}
	}
	r.last.next, r.last.tokens = step+1, tokens
}

// stickyToken draws a token that follows previous.
func (r *Routing) stickyToken(rng *rand.Rand, previous, token []uint32) {
	kept := token[:0]
	for _, e := range previous {
		if rng.Float64() < r.keep {
			kept = append(kept, e)
		}
	}
	drawDistinct(rng, r.shape.Experts, kept, token)
}
