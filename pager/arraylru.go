package pager

// arrayLRU decides like lru, on flat arrays: one ring, the oldest touch first.
type arrayLRU struct {
	named
	ungrouped
	rings
}

func newArrayLRU(name string, shape Shape) *arrayLRU {
	return &arrayLRU{named: named(name), rings: newRings(shape, 1)}
}

func (p *arrayLRU) Touch(e ExpertID) { p.move(0, e) }

func (p *arrayLRU) Insert(e ExpertID, _ bool) { p.append(0, e) }

func (p *arrayLRU) Evict() ExpertID {
	if p.empty(0) {
		p.emptied()
	}
	e := p.first(0)
	p.unlink(e)
	return e
}

// replace is Evict and Insert where all of miss is set, and Touch where none is. It
// returns what e takes the place of: itself, if it stays.
func (p *arrayLRU) replace(e, miss ExpertID) ExpertID {
	victim := e ^ (e^p.first(0))&miss
	p.unlink(victim)
	p.append(0, e)
	return victim
}
