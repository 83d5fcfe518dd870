package pager

// twoQ takes experts into a queue, in, from which they leave in the order of their
// arrival, touched or not. One that is missed again soon after that, while its ghost
// stands in out, goes to the main list, which is LRU.
//
//	miss ──► in ──► evicted, ghost in out ──► miss ──► main ──► evicted
type twoQ struct {
	named
	ungrouped
	lists
	inLimit   int
	ghostsMax int
}

const (
	twoQNone = iota // in no list
	twoQIn
	twoQOut
	twoQMain
	twoQLists
)

func newTwoQ(name string, shape Shape, in, out int) *twoQ {
	return &twoQ{
		named: named(name), lists: newLists(shape, twoQLists),
		inLimit: max(in, 1), ghostsMax: max(out, 1),
	}
}

func (p *twoQ) Touch(e ExpertID) {
	if p.of[e] == twoQMain {
		p.move(twoQMain, e)
	}
}

// Insert looks for the ghost before it forgets the oldest ones, which evictions for this
// very expert may have made too many.
func (p *twoQ) Insert(e ExpertID, _ bool) {
	if p.of[e] == twoQOut {
		p.drop(e)
		p.put(twoQMain, e)
	} else {
		p.put(twoQIn, e)
	}
	for p.size[twoQOut] > p.ghostsMax {
		p.drop(p.first(twoQOut))
	}
}

func (p *twoQ) Evict() ExpertID {
	list := twoQMain
	if p.size[twoQIn] > p.inLimit || p.empty(twoQMain) {
		list = twoQIn
	}
	if p.empty(list) {
		p.emptied()
	}
	e := p.first(list)
	p.drop(e)
	if list == twoQIn {
		p.put(twoQOut, e)
	}
	return e
}
