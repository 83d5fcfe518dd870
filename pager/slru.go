package pager

// slru keeps experts that were touched while resident apart from those that were not,
// and evicts the oldest of the latter. The protected part is bounded: what it pushes
// out gets another chance as the newest of the rest.
type slru struct {
	named
	ungrouped
	rings     // probation, protected
	protected []bool
	limit     int // of the protected part
	size      int // of it
}

const (
	probation = iota
	protected
	slruLists
)

func newSLRU(name string, shape Shape, limit int) *slru {
	return &slru{
		named: named(name), rings: newRings(shape, slruLists), limit: limit,
		protected: make([]bool, shape.Universe()),
	}
}

func (p *slru) Touch(e ExpertID) {
	if p.protected[e] || p.limit == 0 {
		p.move(p.list(e), e)
		return
	}
	p.protected[e] = true
	p.move(protected, e)
	if p.size++; p.size > p.limit {
		oldest := p.first(protected)
		p.release(oldest)
		p.move(probation, oldest)
	}
}

func (p *slru) Insert(e ExpertID, _ bool) { p.append(probation, e) }

func (p *slru) Evict() ExpertID {
	list := probation
	if p.empty(probation) {
		list = protected
	}
	if p.empty(list) {
		p.emptied()
	}
	e := p.first(list)
	p.unlink(e)
	if list == protected {
		p.release(e)
	}
	return e
}

func (p *slru) list(e ExpertID) int {
	if p.protected[e] {
		return protected
	}
	return probation
}

func (p *slru) release(e ExpertID) {
	p.protected[e] = false
	p.size--
}
