//go:build cgo && linux

package vulkan

import (
	"encoding/binary"
	"slices"

	"ufm/moe"
	"ufm/pager"
	"ufm/vk"
)

// Where every expert of the model is resident, the device plans its layers itself: the
// grouping kernel writes the tiles and the sizes of the dispatches, and a whole step is
// one submission with one wait. The host learns afterwards which groups there were.

// planBytes is the size of struct Plan of group.comp.
const planBytes = 2*8 + 2*4 + 2*4*maxTilings + 4*2*maxTilings

// writePlan tells the grouping kernel what the tilings are.
func (r *runner) writePlan() {
	m, k := r.memory, r.kernels
	n := len(k.up.pipelines)
	words := []uint32{uint32(n), uint32(m.maxTiles)}
	from, rows := make([]uint32, maxTilings), make([]uint32, maxTilings)
	groups := make([]uint32, 2*maxTilings)
	for i := range n {
		from[i], rows[i] = uint32(k.tiles[i].from), uint32(k.tiles[i].rows)
		groups[i] = uint32(over(k.up.outputs, k.up.columns[i]))
		groups[n+i] = uint32(over(k.down.outputs, k.down.columns[i]))
	}
	b := binary.LittleEndian.AppendUint64(nil, m.plannedTiles.Address())
	b = binary.LittleEndian.AppendUint64(b, m.dispatches.Address())
	for _, w := range slices.Concat(words, from, rows, groups) {
		b = binary.LittleEndian.AppendUint32(b, w)
	}
	copy(m.plan.Bytes(), b)
}

// writeSlots tells the kernels where each expert is; false if some are not on the device.
// It is called while the device is idle.
func (r *runner) writeSlots() bool {
	table := r.memory.slots.Bytes()
	for e := range r.cfg.Shape.Paging().Universe() {
		slot, ok := r.place.SlotOf(pager.ExpertID(e))
		if !ok {
			return false
		}
		binary.LittleEndian.PutUint64(table[8*e:], r.pool.at(int(slot)).address())
	}
	return true
}

// moveSlots tells a token's kernel which experts come and which go. What runs beside a
// prefetch does not go by the table.
func (r *runner) moveSlots(uploads []pager.Upload) {
	table := r.memory.slots.Bytes()
	for _, u := range uploads {
		if u.Evicted != pager.NoExpert {
			binary.LittleEndian.PutUint64(table[8*u.Evicted:], 0)
		}
		binary.LittleEndian.PutUint64(table[8*u.Expert:], r.pool.at(int(u.Slot)).address())
	}
}

// recordPlanned records the experts of a layer that the device has planned.
func (r *runner) recordPlanned(c *vk.Commands, b *moe.Batch, l int) {
	if r.one {
		r.recordOne(c, b, l, nil)
		return
	}
	m, k := r.memory, r.kernels
	n := len(k.up.pipelines)
	for i, p := range []*product{&k.up, &k.down} {
		src, dst := m.gathered, m.hidden
		if i == 1 {
			src, dst = m.hidden, m.y
			c.DispatchBarrier()
		}
		for t, pipeline := range p.pipelines {
			c.DispatchIndirect(pipeline, r.pushProduct(p, m.plannedTiles, src, dst, t*m.maxTiles),
				m.dispatches, int64(dispatchBytes*(i*n+t)))
		}
	}
}

// recordResident records a whole step.
func (r *runner) recordResident(c *vk.Commands, b *moe.Batch) {
	r.planned = true
	if r.one && b.Capture == nil {
		r.recordResidentToken(c, b)
		r.planned = false
		return
	}
	for l := range r.cfg.Shape.Layers {
		r.recordRouter(c, b, l)
		r.recordPlanned(c, b, l)
		r.recordCombine(c, b, l)
	}
	r.planned = false
}
