package pager

import (
	"cmp"
	"slices"
)

// static keeps the experts that were used most often in its first turns, for good. Until
// it has seen that many it is LRU. Afterwards all slots but one belong to the hot
// experts, which come as they are asked for; the others pass through what is left,
// oldest touch first.
type static struct {
	named
	rings        // cold, hot; the oldest touch first
	hot   []bool // (universe)
	uses  []int  // (universe): in the warm-up
	left  int    // groups of the warm-up to come
	slots int
}

const (
	cold = iota
	hot
	staticLists
)

func newStatic(name string, shape Shape, slots, turns int) *static {
	n := shape.Universe()
	return &static{
		named: named(name), rings: newRings(shape, staticLists), slots: slots,
		hot: make([]bool, n), uses: make([]int, n), left: turns * shape.Layers,
	}
}

// Begin counts uses in the warm-up, then chooses the hot experts.
func (p *static) Begin(_ int, hits, misses []ExpertID) {
	if p.left < 0 {
		return
	}
	if p.left--; p.left < 0 {
		p.freeze()
		return
	}
	for _, e := range hits {
		p.uses[e]++
	}
	for _, e := range misses {
		p.uses[e]++
	}
}

// freeze makes the experts used most often hot, among equals those with lower ids.
func (p *static) freeze() {
	ids := make([]ExpertID, len(p.uses)) // once in a run
	for e := range ids {
		ids[e] = ExpertID(e)
	}
	slices.SortFunc(ids, func(a, b ExpertID) int {
		return cmp.Or(cmp.Compare(p.uses[b], p.uses[a]), cmp.Compare(a, b))
	})
	for _, e := range ids[:min(p.slots-1, len(ids))] {
		p.hot[e] = p.uses[e] > 0
	}
	for e := p.at[p.root(cold)].next; e != p.root(cold); {
		next := p.at[e].next
		if p.hot[e] {
			p.move(hot, ExpertID(e))
		}
		e = next
	}
}

func (p *static) Touch(e ExpertID) { p.move(p.list(e), e) }

func (p *static) Insert(e ExpertID, _ bool) { p.append(p.list(e), e) }

func (p *static) Evict() ExpertID {
	list := cold
	if p.empty(cold) {
		list = hot
	}
	if p.empty(list) {
		p.emptied()
	}
	e := p.first(list)
	p.unlink(e)
	return e
}

func (p *static) list(e ExpertID) int {
	if p.hot[e] {
		return hot
	}
	return cold
}
