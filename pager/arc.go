package pager

// arc balances recency against frequency: experts used once since they came (once) and
// more often (often) are two LRU lists, and the ghosts of either's victims tell which
// list should have been longer.
//
//	ghosts of once ◄── once │ often ──► ghosts of often
//	                        ◄─ target ─►
//
// Sizes and steps of the target are whole numbers.
type arc struct {
	named
	ungrouped
	lists
	slots  int
	target int // size that once should have
	coming ExpertID
}

const (
	arcNone = iota // in no list
	arcOnce
	arcOften
	arcOnceGhost
	arcOftenGhost
	arcLists
)

func newARC(name string, shape Shape, slots int) *arc {
	return &arc{
		named: named(name), lists: newLists(shape, arcLists), slots: slots, coming: NoExpert,
	}
}

// Expect moves the target towards the list whose ghost is asked for.
func (p *arc) Expect(e ExpertID) {
	once, often := p.size[arcOnceGhost], p.size[arcOftenGhost]
	switch p.of[e] {
	case arcOnceGhost:
		p.target = min(p.target+max(often/once, 1), p.slots)
	case arcOftenGhost:
		p.target = max(p.target-max(once/often, 1), 0)
	}
	p.coming = e
}

func (p *arc) Touch(e ExpertID) {
	p.drop(e)
	p.put(arcOften, e)
}

func (p *arc) Insert(e ExpertID, _ bool) {
	if p.of[e] == arcNone {
		p.put(arcOnce, e)
		return
	}
	p.drop(e)
	p.put(arcOften, e)
}

func (p *arc) Evict() ExpertID {
	ghost := uint8(arcNone) // where the coming expert's is
	if p.coming != NoExpert {
		ghost = p.of[p.coming]
	}
	p.coming = NoExpert
	if ghost == arcNone {
		switch {
		case p.size[arcOnce] >= p.slots:
			return p.take(arcOnce, arcNone)
		case p.size[arcOnce]+p.size[arcOnceGhost] >= p.slots:
			p.drop(p.first(arcOnceGhost))
		case p.size[arcOnceGhost]+p.size[arcOftenGhost] >= p.slots:
			p.drop(p.first(arcOftenGhost))
		}
	}
	once := p.size[arcOnce]
	if once > p.target || once == p.target && ghost == arcOftenGhost || p.empty(arcOften) {
		return p.take(arcOnce, arcOnceGhost)
	}
	return p.take(arcOften, arcOftenGhost)
}

// take removes the oldest of a list and leaves its ghost in another, or none.
func (p *arc) take(list int, ghosts uint8) ExpertID {
	if p.empty(list) {
		list, ghosts = arcOften, arcOftenGhost
	}
	if p.empty(list) {
		p.emptied()
	}
	e := p.first(list)
	p.drop(e)
	if ghosts != arcNone {
		p.put(ghosts, e)
	}
	return e
}
