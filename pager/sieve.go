package pager

// sieve keeps experts in the order of their arrival and moves a hand from the oldest
// to the newest, over and over: it spares those touched since it last passed, where
// they stand, and evicts the first that was not. Zhang, Yang, Yue, Vigfusson and
// Rashmi, "SIEVE is simpler than LRU", NSDI 2024.
type sieve struct {
	*arrayLRU
	touched []bool // (universe)
	hand    uint32 // the next to be looked at, or the root: then the oldest is
}

func newSieve(shape Shape, slots int) *sieve {
	p := &sieve{arrayLRU: newArrayLRU(shape, slots), touched: make([]bool, shape.Universe())}
	p.hand = p.root()
	return p
}

func (*sieve) Name() string { return "sieve" }

func (p *sieve) Touch(e ExpertID) { p.touched[e] = true }

func (p *sieve) Evict() ExpertID {
	root := p.root()
	if p.next[root] == root {
		panic("pager: sieve: evict from an empty pool")
	}
	for {
		e := p.hand
		if e == root {
			e = p.next[root]
		}
		p.hand = p.next[e]
		if !p.touched[e] {
			p.unlink(e)
			return ExpertID(e)
		}
		p.touched[e] = false
	}
}
