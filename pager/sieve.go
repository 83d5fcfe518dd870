package pager

// sieve keeps experts in the order of their arrival and moves a hand from the oldest
// to the newest, over and over: it spares those touched since it last passed, where
// they stand, and evicts the first that was not.
type sieve struct {
	*arrayLRU
	touched []bool // (universe)
	hand    uint32 // the next to be looked at, or the root: then the oldest is
}

func newSieve(name string, shape Shape) *sieve {
	p := &sieve{arrayLRU: newArrayLRU(name, shape), touched: make([]bool, shape.Universe())}
	p.hand = p.root(0)
	return p
}

func (p *sieve) Touch(e ExpertID) { p.touched[e] = true }

func (p *sieve) Evict() ExpertID {
	root := p.root(0)
	if p.empty(0) {
		p.emptied()
	}
	for {
		e := p.hand
		if e == root {
			e = p.at[root].next
		}
		p.hand = p.at[e].next
		if !p.touched[e] {
			p.unlink(ExpertID(e))
			return ExpertID(e)
		}
		p.touched[e] = false
	}
}
