package pager

// layerHeaps keeps the residents of each layer as a binary heap, least likely first;
// among equals the oldest touch, then the lowest id. A layer that is outdated is a
// mere list until heapify: its chances are to be computed anew.
type layerHeaps struct {
	shape    Shape
	rows     []member // (layers, experts): the first size[l] of row l are residents
	size     []int    // (layers)
	place    []int32  // (universe): index of a resident within its row
	outdated []bool   // (layers)
	wait     []int64  // (layers): L × (1/chance − 1) of the top, where not outdated
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
)

func newLayerHeaps(shape Shape) layerHeaps {
	return layerHeaps{
		shape:    shape,
		rows:     make([]member, shape.Universe()),
		size:     make([]int, shape.Layers),
		place:    make([]int32, shape.Universe()),
		outdated: make([]bool, shape.Layers),
		wait:     make([]int64, shape.Layers),
	}
}

func (h *layerHeaps) members(layer int) []member {
	row := layer * h.shape.Experts
	return h.rows[row : row+h.size[layer]]
}

// older orders the tops of two layers that are needed at the same time.
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
	if h.outdated[layer] {
		h.put(members, len(members)-1, m)
		return
	}
	h.up(members, len(members)-1, m)
	h.setWait(layer)
}

func (h *layerHeaps) touch(e ExpertID, now int64) {
	layer := h.shape.Layer(e)
	members := h.members(layer)
	i := int(h.place[e])
	members[i].touched = now
	if !h.outdated[layer] {
		h.down(members, i, members[i])
		h.setWait(layer)
	}
}

// pop removes the top of a layer that is not outdated.
func (h *layerHeaps) pop(layer int) ExpertID {
	members := h.members(layer)
	top, last := members[0].expert, members[len(members)-1]
	h.size[layer]--
	if members = members[:len(members)-1]; len(members) > 0 {
		h.down(members, 0, last)
		h.setWait(layer)
	}
	return top
}

// heapify orders a layer after its chances have changed.
func (h *layerHeaps) heapify(layer int) {
	members := h.members(layer)
	for i := len(members)/2 - 1; i >= 0; i-- {
		h.down(members, i, members[i])
	}
	h.outdated[layer] = false
	h.setWait(layer)
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
