//go:build cgo && linux

package vulkan

import (
	"math"

	"ufm/moe"
	"ufm/vk"
)

// single reports whether the kernels for one token serve this batch.
func (x *text) single() bool { return x.tokens() == 1 }

// writeRoutes adds to what route.comp reads of every layer what only texts have.
func (x *text) writeRoutes() {
	m := x.dense
	for l := range x.sizes.Layers {
		x.runner.memory.writeRoute(l, func(r *route) {
			r.Base, r.Added, r.H = m.h.Address(), m.added.Address(), m.mid.Address()
			r.Norm, r.X = x.vectorAt(moe.MoENorm, l), x.runner.memory.x.Address()
			r.Logits = m.nextLogits.Address()
			r.Predicted = m.predicted.Address() + uint64(4*(l+1)*x.sizes.TopK)
		})
	}
}

// recordAttendOne records everything between the projection and the output projection.
func (x *text) recordAttendOne(c *vk.Commands, l, parts int) {
	s, m := &x.sizes, x.dense
	groups := s.Heads / s.attendHeads()
	splits, span := s.past(x.position+1, groups, s.oneThreads/oneShare)
	c.Dispatch(x.kernels.attendOne, pushBytes(pushAttendOne{
		QKV: m.projected.Address(), Keys: m.keys[l].Address(), Values: m.values[l].Address(),
		Turns: m.turns.Address(),
		QNorm: x.vectorAt(moe.QueryNorm, l), KNorm: x.vectorAt(moe.KeyNorm, l),
		Dst: m.attended.Address(), Acc: m.splits.Address(), State: m.states.Address(),
		Counters: m.counters.Address(),
		Heads:    uint32(s.Heads), PerKey: uint32(s.perKey()), Parts: uint32(parts),
		Width: uint32(s.width), Position: uint32(x.position), Context: uint32(s.context),
		Span: uint32(span), Norm: ropeNorm(s.QueryKeyNorm),
		Epsilon: float32(s.NormEps), Scale: float32(1 / math.Sqrt(float64(s.HeadDim))),
	}), groups, 1, splits)
}
