//go:build cgo && linux

package vulkan

import (
	"encoding/binary"

	"ufm/moe"
	"ufm/pager"
	"ufm/vk"
)

// The ops of a token's experts, and of layers alone. Those of a layer alone are
//
//	route, up, down, combine

const layerOps = 4

// newToken makes the ops of layers alone; those of a text are its own.
func (r *runner) newToken() {
	r.token = &token{tuning: newTuning(r.device.Info()), memory: r.memory}
	if r.text != nil {
		return
	}
	for l := range r.cfg.Shape.Layers {
		r.addAlone(l)
	}
}

// addAlone adds the ops of a layer alone.
func (r *runner) addAlone(l int) {
	m, s := r.memory, r.cfg.Shape
	base := m.x.Address()
	if l == 0 {
		base = m.input.Address()
	}
	route := r.opRoute(l)
	route.Base, route.Alone = base, m.input.Address()+uint64(4*l*r.layout.In)
	route.IDs, route.IDWeights = m.ids.Address(), m.weights.Address()
	r.token.add(kindRoute, route.Groups, false, route)
	down := r.addExperts()
	r.token.add(kindCombine, 1, false, opCombine{
		Kind: kindCombine, Groups: 1,
		Y: m.address(oneY), Base: base, Next: m.x.Address(),
		Moe: m.moe.Address(), Parts: uint32(down.parts), DModel: uint32(s.DModel),
	})
}

// opRoute is what the routes of layers alone and of texts have in common.
func (r *runner) opRoute(l int) opRoute {
	m, s := r.memory, r.cfg.Shape
	experts := uint64(l * s.Experts)
	op := opRoute{
		Kind: kindRoute, Groups: uint32(over(s.Experts, routeEach)),
		Gate:  m.gates.Address() + 4*experts*uint64(r.layout.In),
		Given: m.routing.Address() + uint64(4*l*s.TopK), Slots: m.slots.Address() + 8*experts,
		X: m.address(oneX), Logits: m.address(oneLogits), Counter: m.meeting.Address() + counterAt,
		Weights: m.address(oneWeights), Tiles: m.address(oneTiles),
		Counts: m.counts.Address() + 4*experts, DModel: uint32(s.DModel),
	}
	if s.NormTopK {
		op.Normalize = 1
	}
	return op
}

// addExperts adds both products of a token's experts, and returns how the second is cut.
func (r *runner) addExperts() pieces {
	m, s, t := r.memory, r.cfg.Shape, r.token
	upCut, downCut := t.expertCuts(s)
	up := t.opProduct(upCut, s.DType)
	up.Weight, up.Gate = uint64(r.layout.Up), uint64(r.layout.Gate)
	up.X, up.Dst, up.Tiles = m.address(oneX), m.address(oneHidden), m.address(oneTiles)
	up.Route = m.ops.Address() + uint64((len(t.kinds)-1)*opBytes) // the op before
	t.add(kindProduct, up.Groups, true, up)
	down := t.opProduct(downCut, s.DType)
	down.Weight, down.XParts, down.Source = uint64(r.layout.Down), uint32(upCut.parts), sourceGELU
	if s.Form == moe.SwiGLU {
		down.Source = sourceSwiGLU
	}
	down.X, down.Dst, down.Tiles = m.address(oneHidden), m.address(oneY), m.address(oneTiles)
	down.Weights = m.address(oneWeights)
	t.add(kindProduct, down.Groups, true, down)
	return downCut
}

// opProduct is what every product has.
func (t *token) opProduct(c pieces, dtype moe.DType) opProduct {
	return opProduct{
		Kind: kindProduct, Groups: uint32(c.items()), DType: opDType(dtype),
		Matrices: uint32(c.matrices), Inputs: uint32(c.inputs), Outputs: uint32(c.outputs),
		Part: uint32(c.part), Parts: uint32(c.parts), Lanes: log2(c.lanes),
	}
}

// routerOps, expertOps and endOps tell which ops are a layer's.
func (r *runner) routerOps(l int) (first, last int) {
	if r.text != nil {
		return r.text.routerOps(l)
	}
	return layerOps * l, layerOps*l + 1
}

func (r *runner) expertOps(l int) (first, last int) {
	_, first = r.routerOps(l)
	return first, first + 2
}

// push is what the ops of a step have in common.
func (r *runner) push(b *moe.Batch) pushToken {
	p := pushToken{Rows: uint32(r.cfg.Shape.TopK)}
	if b.Routing != nil {
		p.Flags |= flagGiven
	}
	if r.planned {
		p.Flags |= flagPlanned
	}
	if r.planned && b.Capture == nil && r.token.together > 0 { // else every item would choose
		p.Flags |= flagDeferred
	}
	if !b.PerLayer {
		p.Flags |= flagChained
	}
	if b.Capture != nil {
		p.Flags |= flagKept
	}
	if x := r.text; x != nil {
		p.Position = uint32(x.position)
		if x.predict {
			p.Flags |= flagPredict
		}
	}
	return p
}

// recordRoute records what recordRouter does for more tokens; of a text, attention included.
func (r *runner) recordRoute(c *vk.Commands, b *moe.Batch, l int) {
	if r.text == nil {
		r.recordInput(c, b, l)
	}
	first, last := r.routerOps(l)
	if r.text != nil && r.text.onward {
		r.text.recordOnward(c, b, first)
	} else {
		r.token.record(c, first, last, r.push(b))
	}
	c.Barrier() // the host, or a copy, reads the choice
	r.captureChoice(c, b, l)
}

// recordOne records the experts of a token: all that the device has planned, or those of
// accesses.
func (r *runner) recordOne(c *vk.Commands, b *moe.Batch, l int, accesses []pager.Access) {
	p := r.push(b)
	if !r.planned {
		c.DispatchBarrier() // one dispatch after the other: they meet in the same place
		p.Tiles, p.Rows = r.writeTiles(l, accesses), uint32(len(accesses))
	}
	first, last := r.expertOps(l)
	r.token.record(c, first, last, p)
}

// writeTiles lists experts for a token's products and returns the list's address.
func (r *runner) writeTiles(l int, accesses []pager.Access) uint64 {
	m := r.memory
	quads := r.quadOf(r.counts(l))
	first := r.tilesUsed
	for _, a := range accesses {
		tile := m.tiles.Bytes()[r.tilesUsed*tileBytes:]
		binary.LittleEndian.PutUint64(tile, r.pool.at(int(a.Slot)).address())
		binary.LittleEndian.PutUint32(tile[8:], uint32(quads[int(a.Expert)-l*r.cfg.Shape.Experts]))
		binary.LittleEndian.PutUint32(tile[12:], 1)
		r.tilesUsed++
	}
	return m.tiles.Address() + uint64(first*tileBytes)
}

// recordAlone records the end of a layer alone.
func (r *runner) recordAlone(c *vk.Commands, b *moe.Batch, l int) {
	c.DispatchBarrier()
	r.token.record(c, layerOps*l+3, layerOps*(l+1), r.push(b))
	c.Barrier() // the next layer, the host, or a copy
}

// recordResidentToken records all ops of a step in one go.
func (r *runner) recordResidentToken(c *vk.Commands, b *moe.Batch) {
	last := layerOps * r.cfg.Shape.Layers
	if x := r.text; x != nil {
		last = x.allOps()
	} else {
		r.recordInput(c, b, 0)
	}
	r.token.record(c, 0, last, r.push(b))
	c.Barrier()
}
