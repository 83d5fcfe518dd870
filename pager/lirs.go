package pager

// lirs ranks experts by the number of others used between their last two uses. Most
// slots belong to those with few (near), which stay; the others (far) pass through a
// queue. The stack has all that were used since the oldest use of a near one, also far
// experts that are no longer resident: one that is used again while it stands there
// becomes near, and the near one at the bottom becomes far in its stead.
//
//	stack: bottom = oldest near … top = last use      queue: residents that are far
type lirs struct {
	named
	ungrouped
	stack rings
	queue rings
	near  []bool // (universe)
	deep  []bool // (universe): in the stack
	nears int
	limit int // of nears
}

func newLIRS(name string, shape Shape, slots, far int) *lirs {
	n := shape.Universe()
	return &lirs{
		named: named(name), stack: newRings(shape, 1), queue: newRings(shape, 1),
		near: make([]bool, n), deep: make([]bool, n),
		limit: slots - max(far, 1),
	}
}

func (p *lirs) Touch(e ExpertID) {
	switch {
	case p.near[e]:
		p.push(e)
	case p.deep[e] && p.limit > 0:
		p.queue.unlink(e)
		p.promote(e)
	default:
		p.push(e)
		p.queue.move(0, e)
	}
}

func (p *lirs) Insert(e ExpertID, _ bool) {
	switch {
	case p.nears < p.limit:
		p.near[e] = true
		p.nears++
		p.push(e)
	case p.deep[e] && p.limit > 0:
		p.promote(e)
	default:
		p.push(e)
		p.queue.append(0, e)
	}
}

func (p *lirs) Evict() ExpertID {
	if p.queue.empty(0) {
		if p.nears == 0 {
			p.emptied()
		}
		p.demote()
	}
	e := p.queue.first(0)
	p.queue.unlink(e)
	return e
}

// promote makes a far expert of the stack near, and the oldest near one far.
func (p *lirs) promote(e ExpertID) {
	p.near[e] = true
	p.nears++
	p.push(e)
	if p.nears > p.limit {
		p.demote()
	}
}

// demote moves the near expert at the stack's bottom to the queue.
func (p *lirs) demote() {
	e := p.stack.first(0)
	p.near[e] = false
	p.nears--
	p.queue.append(0, e)
	p.prune()
}

// prune takes far experts off the bottom of the stack.
func (p *lirs) prune() {
	for !p.stack.empty(0) && !p.near[p.stack.first(0)] {
		e := p.stack.first(0)
		p.stack.unlink(e)
		p.deep[e] = false
	}
}

// push puts e on top of the stack, where it stays only above a near one.
func (p *lirs) push(e ExpertID) {
	if p.deep[e] {
		p.stack.unlink(e)
	}
	p.stack.append(0, e)
	p.deep[e] = true
	p.prune()
}
