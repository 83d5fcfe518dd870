package pager

// layerHeaps keeps the residents of each layer, the least likely one at the front; among
// equals the oldest touch, then the lowest id. After a turn of the layer its chances are
// to be computed anew, and most turns then take one victim from it or none. So a layer
// is put in order only as far as it is asked for:
//
//	outdated   a mere list                       after the layer's turn
//	sorted2    the first two are in their place  after rank, a scan
//	sorted1    the first one is                  after a pop
//	heaped     a binary heap                     after a second pop
type layerHeaps struct {
	shape Shape
	rows  []member // (layers, experts): the first size[l] of row l are residents
	size  []int    // (layers)
	place []int32  // (universe): index of a resident within its row
	state []uint8  // (layers)
	wait  []int64  // (layers): L × (1/chance − 1) of the front, where not outdated
}

// States of a layer.
const (
	outdated = iota
	sorted2
	sorted1
	heaped
)

// member is one resident.
type member struct {
	chance  int64
	touched int64
	expert  ExpertID
}

const (
	waitBits = 8              // of a turn's fraction in wait
	maxWait  = int64(1) << 50 // leaves room for a clock of 2^54 turns
)

func newLayerHeaps(shape Shape) layerHeaps {
	return layerHeaps{
		shape: shape,
		rows:  make([]member, shape.Universe()),
		size:  make([]int, shape.Layers),
		place: make([]int32, shape.Universe()),
		state: make([]uint8, shape.Layers),
		wait:  make([]int64, shape.Layers),
	}
}

func (h *layerHeaps) members(layer int) []member {
	row := layer * h.shape.Experts
	return h.rows[row : row+h.size[layer]]
}

// older orders the fronts of two layers that are needed at the same time.
func (h *layerHeaps) older(l, other int) bool {
	a, b := &h.members(l)[0], &h.members(other)[0]
	if a.touched != b.touched {
		return a.touched < b.touched
	}
	return a.expert < b.expert
}

func (h *layerHeaps) insert(layer int, m member) {
	h.size[layer]++
	members := h.members(layer)
	last := len(members) - 1
	switch h.state[layer] {
	case outdated:
		h.put(members, last, m)
		return
	case heaped:
		h.up(members, last, m)
	default:
		h.put(members, last, m)
		h.settle(layer, members, last)
	}
	if h.place[m.expert] == 0 {
		h.setWait(layer)
	}
}

func (h *layerHeaps) touch(e ExpertID, now int64) {
	layer := h.shape.Layer(e)
	members := h.members(layer)
	i := int(h.place[e])
	members[i].touched = now
	switch {
	case h.state[layer] == heaped:
		h.down(members, i, members[i])
		h.setWait(layer)
	case h.state[layer] != outdated && i < 2:
		h.rank(layer)
	}
}

// pop removes the front of a layer that is not outdated.
func (h *layerHeaps) pop(layer int) ExpertID {
	members := h.members(layer)
	front, last := members[0].expert, members[len(members)-1]
	h.size[layer]--
	members = members[:len(members)-1]
	switch {
	case len(members) == 0:
		return front
	case h.state[layer] == heaped:
		h.down(members, 0, last)
	case h.state[layer] == sorted2:
		h.put(members, 0, h.rows[layer*h.shape.Experts+1])
		if len(members) > 1 {
			h.put(members, 1, last)
		}
		h.state[layer] = sorted1
	default:
		h.put(members, 0, last)
		for i := len(members)/2 - 1; i >= 0; i-- {
			h.down(members, i, members[i])
		}
		h.state[layer] = heaped
	}
	h.setWait(layer)
	return front
}

// rank brings the first two to the front after chances have changed.
func (h *layerHeaps) rank(layer int) {
	h.state[layer] = sorted2
	members := h.members(layer)
	for i := 1; i < len(members); i++ {
		if i < 2 || members[i].chance <= members[1].chance { // else it stays where it is
			h.settle(layer, members, i)
		}
	}
	h.setWait(layer)
}

// settle moves member i to the front if it belongs there: to the first place or, where
// that is kept too, the second.
func (h *layerHeaps) settle(layer int, members []member, i int) {
	if h.state[layer] == sorted2 && i > 1 {
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

func (h *layerHeaps) setWait(layer int) {
	layers := int64(h.shape.Layers)
	chance := h.members(layer)[0].chance
	h.wait[layer] = min(layers<<(oneBits+waitBits)/chance-layers<<waitBits, maxWait)
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
