package pager

import "math"

// layerHeaps keeps the residents of each layer, the least likely one at the front; among
// equals the oldest touch, then the lowest id. After a turn of the layer its chances are
// to be computed anew, and most turns then take one victim from it or none. So a layer
// is put in order only as far as it is asked for:
//
//	outdated   a mere list, its chances too   after the layer's turn
//	listed     a mere list                    after a pop of all that was sorted
//	sorted1    the first one is in its place  after a pop
//	sorted2    the first two are              after a scan
//	heaped     a binary heap                  after a few scans
type layerHeaps struct {
	shape  Shape
	rows   []member // (layers, experts): the first size of row l are residents
	place  []int32  // (universe): index of a resident within its row
	fronts []front  // (layers)
}

// States of a layer.
const (
	outdated = iota
	listed
	sorted1
	sorted2
	heaped
)

// front is what is known of a layer's residents.
type front struct {
	wait  int64 // L × (1/chance − 1) of the first one, or unknown
	size  int
	state uint8
	scans uint8 // since its chances were computed
}

// member is one resident.
type member struct {
	chance  int64
	touched int64
	expert  ExpertID
}

const (
	waitBits = 8              // of a turn's fraction in wait
	maxWait  = int64(1) << 50 // leaves room for a clock of 2^54 turns
	unknown  = int64(-1)      // wait of a layer whose first resident may have changed
	maxScans = 3              // of a layer a turn: then a heap is cheaper
)

func newLayerHeaps(shape Shape) layerHeaps {
	return layerHeaps{
		shape:  shape,
		rows:   make([]member, shape.Universe()),
		place:  make([]int32, shape.Universe()),
		fronts: make([]front, shape.Layers),
	}
}

func (h *layerHeaps) members(layer int) []member {
	row := layer * h.shape.Experts
	return h.rows[row : row+h.fronts[layer].size]
}

// older orders the fronts of two layers that are needed at the same time.
func (h *layerHeaps) older(l, other int) bool {
	a, b := &h.members(l)[0], &h.members(other)[0]
	if a.touched != b.touched {
		return a.touched < b.touched
	}
	return a.expert < b.expert
}

// turn tells that the chances of a layer change.
func (h *layerHeaps) turn(layer int) {
	f := &h.fronts[layer]
	f.state, f.wait = outdated, unknown
}

func (h *layerHeaps) insert(layer int, m member) {
	f := &h.fronts[layer]
	f.size++
	members := h.members(layer)
	last := len(members) - 1
	switch f.state {
	case heaped:
		h.up(members, last, m)
	case sorted1, sorted2:
		h.put(members, last, m)
		h.settle(layer, members, last)
	default:
		h.put(members, last, m)
	}
	if h.place[m.expert] == 0 {
		f.wait = unknown
	}
}

func (h *layerHeaps) touch(layer int, e ExpertID, now int64) {
	f := &h.fronts[layer]
	members := h.members(layer)
	i := int(h.place[e])
	members[i].touched = now
	switch {
	case f.state == heaped:
		h.down(members, i, members[i])
		f.wait = unknown
	case f.state > listed && i < 2:
		f.state, f.wait = listed, unknown
	}
}

// pop removes the first of a layer where it is known.
func (h *layerHeaps) pop(layer int) ExpertID {
	f := &h.fronts[layer]
	members := h.members(layer)
	first, last := members[0].expert, members[len(members)-1]
	f.size--
	f.wait = unknown
	members = members[:len(members)-1]
	switch {
	case len(members) == 0:
	case f.state == heaped:
		h.down(members, 0, last)
	case f.state == sorted2:
		h.put(members, 0, h.rows[layer*h.shape.Experts+1])
		if len(members) > 1 {
			h.put(members, 1, last)
		}
		f.state = sorted1
	default:
		h.put(members, 0, last)
		f.state = listed
	}
	return first
}

// rank brings the first to the front of a layer whose chances are computed.
func (h *layerHeaps) rank(layer int) {
	f := &h.fronts[layer]
	members := h.members(layer)
	if f.scans++; f.scans <= maxScans {
		l := nothing
		for i := range members {
			l = l.and(members[i].chance, i)
		}
		h.lead(layer, l)
		return
	}
	for i := len(members)/2 - 1; i >= 0; i-- {
		h.down(members, i, members[i])
	}
	f.state = heaped
}

// least are the three least chances of a row, each with its index below it: in one number,
// so that no branch has to be guessed.
type least struct{ first, second, third int64 }

const indexBits = 64 - 2 - oneBits

// nothing is the least of an empty row: it comes after every chance.
var nothing = least{math.MaxInt64, math.MaxInt64, math.MaxInt64}

// and is l with one more chance.
func (l least) and(chance int64, i int) least {
	k := chance<<indexBits | int64(i)
	return least{
		min(l.first, k),
		min(l.second, max(l.first, k)),
		min(l.third, max(l.second, k)),
	}
}

// lead puts the least two of a layer in their places. Among equals it takes another scan.
func (h *layerHeaps) lead(layer int, l least) {
	h.fronts[layer].state = sorted2
	members := h.members(layer)
	if l.first>>indexBits != l.second>>indexBits && l.second>>indexBits != l.third>>indexBits {
		const index = 1<<indexBits - 1
		first, second := int(l.first&index), int(l.second&index)
		h.swap(members, first, 0)
		if second == 0 {
			second = first // where the swap brought it
		}
		h.swap(members, second, 1)
		return
	}
	for i := 1; i < len(members); i++ {
		h.settle(layer, members, i)
	}
}

// settle moves member i to the front if it belongs there: to the first place or, where
// that is kept too, the second.
func (h *layerHeaps) settle(layer int, members []member, i int) {
	if h.fronts[layer].state == sorted2 && i > 1 {
		if !members[i].before(&members[1]) {
			return
		}
		h.swap(members, i, 1)
		i = 1
	}
	if i > 0 && members[i].before(&members[0]) {
		h.swap(members, i, 0)
	}
}

func (h *layerHeaps) swap(members []member, i, j int) {
	m := members[i]
	h.put(members, i, members[j])
	h.put(members, j, m)
}

// setWait computes the wait of a layer's first resident, whose chance rounding may have
// made nothing or more than one.
func (h *layerHeaps) setWait(layer int) {
	layers := int64(h.shape.Layers)
	chance := min(max(h.members(layer)[0].chance, 1), one)
	h.fronts[layer].wait = min(layers<<(oneBits+waitBits)/chance-layers<<waitBits, maxWait)
}

// up moves m, whose place i is free, towards the top.
func (h *layerHeaps) up(members []member, i int, m member) {
	for i > 0 {
		parent := (i - 1) / 2
		if !m.before(&members[parent]) {
			break
		}
		h.put(members, i, members[parent])
		i = parent
	}
	h.put(members, i, m)
}

// down moves m, whose place i is free, away from the top.
func (h *layerHeaps) down(members []member, i int, m member) {
	for {
		child := 2*i + 1
		if child >= len(members) {
			break
		}
		if child+1 < len(members) && members[child+1].before(&members[child]) {
			child++
		}
		if !members[child].before(&m) {
			break
		}
		h.put(members, i, members[child])
		i = child
	}
	h.put(members, i, m)
}

func (h *layerHeaps) put(members []member, i int, m member) {
	members[i] = m
	h.place[m.expert] = int32(i)
}

func (m *member) before(o *member) bool {
	if m.chance != o.chance {
		return m.chance < o.chance
	}
	if m.touched != o.touched {
		return m.touched < o.touched
	}
	return m.expert < o.expert
}
