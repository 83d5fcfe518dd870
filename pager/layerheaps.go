package pager

import "math"

// layerHeaps keeps the residents of each layer and finds the least likely one; among
// equals the oldest touch. After a turn of the layer its chances are to be computed anew,
// and most turns then take one victim from it or none. So a layer is put in order only as
// far as it is asked for:
//
//	outdated   a mere list, its chances too       after the layer's turn
//	likely     the least chance is known,         after a pop
//	           but not which of equals has it
//	known      the first one is known, too        after a scan
//	heaped     a binary heap                      after a few scans
type layerHeaps struct {
	shape   Shape
	rows    []member // (layers, experts): the first size of row l are residents
	place   []int32  // (universe): index of a resident within its row
	touched []int64  // (universe): no two alike
	next    []int64  // (layers): when the first is expected to be needed, unknown or never
	fronts  []front  // (layers)
}

// States of a layer.
const (
	outdated = iota
	likely
	known
	heaped
)

// front is what is known of a layer's residents.
type front struct {
	first, second member // the least two; of equals any may be the second
	size          int
	state         uint8
	scans         uint8 // of its chances as they are
}

// member is one resident: its chance and, below it, the expert. In one number they are
// compared without a branch that has to be guessed.
type member int64

const (
	expertBits = 64 - 2 - oneBits

	never    = int64(-1) // next of a layer without residents
	unknown  = int64(-2) // next of a layer whose first resident may have changed
	maxScans = 4         // of a layer a turn: then a heap is cheaper

	// nobody comes after every member.
	nobody = member(math.MaxInt64)
)

func (m member) chance() int64 { return int64(m >> expertBits) }

func (m member) expert() ExpertID { return ExpertID(m & (1<<expertBits - 1)) }

func newLayerHeaps(shape Shape) layerHeaps {
	h := layerHeaps{
		shape:   shape,
		rows:    make([]member, shape.Universe()),
		place:   make([]int32, shape.Universe()),
		touched: make([]int64, shape.Universe()),
		next:    make([]int64, shape.Layers),
		fronts:  make([]front, shape.Layers),
	}
	fill(h.next, never)
	return h
}

func (h *layerHeaps) members(layer int) []member {
	row := layer * h.shape.Experts
	return h.rows[row : row+h.fronts[layer].size]
}

// older orders the fronts of two layers that are needed at the same time.
func (h *layerHeaps) older(l, other int) bool {
	h.ascertain(l)
	h.ascertain(other)
	return h.touched[h.fronts[l].first.expert()] < h.touched[h.fronts[other].first.expert()]
}

// turn tells that the chances of a layer change.
func (h *layerHeaps) turn(layer int) {
	h.fronts[layer].state = outdated
	h.forget(layer)
}

// forget makes next of a layer unknown.
func (h *layerHeaps) forget(layer int) {
	h.next[layer] = unknown
	if h.fronts[layer].size == 0 {
		h.next[layer] = never
	}
}

// insert adds m, whose touch is known; its chance need not be where the layer's are not.
func (h *layerHeaps) insert(layer int, m member) {
	f := &h.fronts[layer]
	f.size++
	members := h.members(layer)
	last := len(members) - 1
	if f.state == heaped {
		h.up(members, last, m)
		f.first = members[0]
		h.next[layer] = unknown
		return
	}
	h.put(members, last, m)
	if last == 0 {
		h.next[layer] = unknown
	}
	if f.state != outdated && m.chance() < f.second.chance() {
		if m.chance() < f.first.chance() {
			f.first, f.second, f.state = m, f.first, known
			h.next[layer] = unknown
		} else {
			f.second = m
		}
	}
}

func (h *layerHeaps) touch(layer int, e ExpertID, now int64) {
	h.touched[e] = now
	if h.fronts[layer].state >= known {
		h.reorder(layer, e)
	}
}

// reorder takes notice of a touch, which is a rare one: most come before a scan.
func (h *layerHeaps) reorder(layer int, e ExpertID) {
	f := &h.fronts[layer]
	if f.state == heaped {
		members := h.members(layer)
		i := int(h.place[e])
		h.down(members, i, members[i])
		f.first = members[0]
	} else if f.first.expert() == e {
		f.state = likely
	}
}

// pop removes the first of a layer whose chances are computed.
func (h *layerHeaps) pop(layer int) ExpertID {
	h.ascertain(layer)
	f := &h.fronts[layer]
	members := h.members(layer)
	first := f.first.expert()
	f.size--
	h.forget(layer)
	last := members[f.size]
	if f.state == heaped {
		h.down(members[:f.size], 0, last)
		f.first = members[0]
		return first
	}
	h.put(members, int(h.place[first]), last)
	f.first, f.state = f.second, likely
	return first
}

// ascertain finds the first of a layer of which only the chance is known.
func (h *layerHeaps) ascertain(layer int) {
	f := &h.fronts[layer]
	if f.state != likely {
		return
	}
	members := h.members(layer)
	if f.scans++; f.scans <= maxScans {
		l := nothing
		for _, m := range members {
			l = l.and(m)
		}
		h.lead(layer, l)
		return
	}
	for i := len(members)/2 - 1; i >= 0; i-- {
		h.down(members, i, members[i])
	}
	f.first, f.state = members[0], heaped
}

// least are the two least likely of a row, in the order of their numbers.
type least struct{ first, second member }

// nothing is the least of an empty row.
var nothing = least{nobody, nobody}

// and is l with one more.
func (l least) and(m member) least {
	return least{min(l.first, m), min(l.second, max(l.first, m))}
}

// lead takes over the least two of a layer. Among equals it takes another scan.
func (h *layerHeaps) lead(layer int, l least) {
	f := &h.fronts[layer]
	f.first, f.second, f.state = l.first, l.second, known
	if l.first.chance() != l.second.chance() {
		return
	}
	for _, m := range h.members(layer) {
		if h.before(m, f.first) {
			f.first, f.second = m, f.first
		}
	}
}

// up moves m, whose place i is free, towards the top.
func (h *layerHeaps) up(members []member, i int, m member) {
	for i > 0 {
		parent := (i - 1) / 2
		if !h.before(m, members[parent]) {
			break
		}
		h.put(members, i, members[parent])
		i = parent
	}
	h.put(members, i, m)
}

// down moves m, whose place i is free, away from the top. No members, and it is none.
func (h *layerHeaps) down(members []member, i int, m member) {
	for {
		child := 2*i + 1
		if child >= len(members) {
			break
		}
		if child+1 < len(members) && h.before(members[child+1], members[child]) {
			child++
		}
		if !h.before(members[child], m) {
			break
		}
		h.put(members, i, members[child])
		i = child
	}
	if i < len(members) {
		h.put(members, i, m)
	}
}

func (h *layerHeaps) put(members []member, i int, m member) {
	members[i] = m
	h.place[m.expert()] = int32(i)
}

func (h *layerHeaps) before(m, o member) bool {
	if m.chance() != o.chance() {
		return m < o
	}
	return h.touched[m.expert()] < h.touched[o.expert()]
}
