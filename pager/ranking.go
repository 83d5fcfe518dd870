package pager

// ranking keeps residents as a binary heap, the least worth first; among equals the
// oldest touch, then the lowest id. O(log n) per call, no allocation.
type ranking struct {
	heap  []rank
	place []int32 // (universe): index of a resident in heap
}

// rank is the standing of one resident.
type rank struct {
	worth   uint64
	touched int64
	expert  ExpertID
}

func newRanking(shape Shape, slots int) ranking {
	return ranking{make([]rank, 0, slots), make([]int32, shape.Universe())}
}

func (r *rank) before(o *rank) bool {
	if r.worth != o.worth {
		return r.worth < o.worth
	}
	if r.touched != o.touched {
		return r.touched < o.touched
	}
	return r.expert < o.expert
}

func (h *ranking) add(r rank) {
	h.heap = append(h.heap, r)
	h.up(len(h.heap)-1, r)
}

// raise gives a resident a higher rank than it had.
func (h *ranking) raise(r rank) { h.down(int(h.place[r.expert]), r) }

// pop removes the first of a ranking that is not empty.
func (h *ranking) pop() ExpertID {
	top, last := h.heap[0].expert, h.heap[len(h.heap)-1]
	h.heap = h.heap[:len(h.heap)-1]
	if len(h.heap) > 0 {
		h.down(0, last)
	}
	return top
}

// shift divides all worths by 2^bits, which can make equals of some.
func (h *ranking) shift(bits int) {
	for i := range h.heap {
		h.heap[i].worth >>= bits
	}
	for i := len(h.heap)/2 - 1; i >= 0; i-- {
		h.down(i, h.heap[i])
	}
}

// up moves r, whose place i is free, towards the top.
func (h *ranking) up(i int, r rank) {
	for i > 0 {
		parent := (i - 1) / 2
		if !r.before(&h.heap[parent]) {
			break
		}
		h.put(i, h.heap[parent])
		i = parent
	}
	h.put(i, r)
}

// down moves r, whose place i is free, away from the top.
func (h *ranking) down(i int, r rank) {
	for {
		child := 2*i + 1
		if child >= len(h.heap) {
			break
		}
		if child+1 < len(h.heap) && h.heap[child+1].before(&h.heap[child]) {
			child++
		}
		if !h.heap[child].before(&r) {
			break
		}
		h.put(i, h.heap[child])
		i = child
	}
	h.put(i, r)
}

func (h *ranking) put(i int, r rank) {
	h.heap[i] = r
	h.place[r.expert] = int32(i)
}
