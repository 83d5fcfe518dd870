//go:build cgo && linux

package vulkan

import (
	"encoding/binary"
	"math"

	"ufm/moe"
	"ufm/vk"
)

// A single token, as in decode, leaves most of a device idle, and every barrier costs it
// about as much as its kernels. So there a layer has kernels that do more in one dispatch:
// route.comp instead of five. They are chosen by the number of tokens alone.

// routeBytes is the size of struct Route of route.comp.
const routeBytes = 16 * 8

// single reports whether the kernels for one token serve this batch.
func (x *text) single() bool { return x.tokens() == 1 }

// writeRoutes writes what route.comp reads of every layer.
func (x *text) writeRoutes() {
	m, r, s := x.dense, x.runner.memory, &x.sizes
	table := m.routes.Bytes()
	for l := range s.Layers {
		var b []byte
		experts := uint64(l * s.Experts)
		for _, address := range []uint64{
			m.h.Address(), m.added.Address(), x.vectorAt(moe.MoENorm, l),
			r.gates.Address() + 4*experts*uint64(s.d), m.mid.Address(), r.x.Address(),
			r.gathered.Address(), m.nextLogits.Address(), m.counters.Address(),
			r.ids.Address(), r.weights.Address(), r.counts.Address() + 4*experts,
			r.position.Address(), r.plannedTiles.Address(), r.slots.Address() + 8*experts,
			m.predicted.Address() + uint64(4*(l+1)*s.TopK),
		} {
			b = binary.LittleEndian.AppendUint64(b, address)
		}
		copy(table[l*routeBytes:], b)
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
		Counters: m.counters.Address() + 4,
		Heads:    uint32(s.Heads), PerKey: uint32(s.perKey()), Parts: uint32(parts),
		Width: uint32(s.width), Position: uint32(x.position), Context: uint32(s.context),
		Span: uint32(span), Norm: ropeNorm(s.QueryKeyNorm),
		Epsilon: float32(s.NormEps), Scale: float32(1 / math.Sqrt(float64(s.HeadDim))),
	}), groups, 1, splits)
}

// recordRoute records what recordRouter does for more tokens, attention included.
func (x *text) recordRoute(c *vk.Commands, b *moe.Batch, l int) {
	s := &x.sizes
	parts := x.recordToOutput(c, l)
	p := pushRoute{
		Route: x.dense.routes.Address() + uint64(l*routeBytes),
		Parts: uint32(parts), Planes: 1, DModel: uint32(s.DModel), Epsilon: float32(s.NormEps),
	}
	if b.Routing != nil {
		p.Given = x.runner.memory.routing.Address() + uint64(4*l*s.TopK)
	}
	if x.predict && l+1 < s.Layers {
		p.Planes = 2
	}
	if x.planned {
		p.Planned = 1
	}
	if s.NormTopK {
		p.Normalize = 1
	}
	c.Dispatch(x.kernels.route, pushBytes(p), over(int(p.Planes)*s.Experts, routeExperts), 1, 1)
	if x.planned {
		c.DispatchBarrier()
	} else {
		c.Barrier() // the host reads the choice
	}
}

// recordSingle records the experts of a token where every expert is resident: each of them
// has one row, so that the sizes of the dispatches are known.
func (x *text) recordSingle(c *vk.Commands) {
	m, k := x.runner.memory, x.kernels
	for i, p := range []*product{&k.up, &k.down} {
		src, dst := m.gathered, m.hidden
		if i == 1 {
			src, dst = m.hidden, m.y
			c.DispatchBarrier()
		}
		c.Dispatch(p.pipelines[0], x.pushProduct(p, m.plannedTiles, src, dst, 0),
			over(p.outputs, p.columns[0]), x.sizes.TopK, 1)
	}
}
