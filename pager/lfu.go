package pager

// lfu evicts the expert that was used least often, resident or not at the time. So that
// old merits fade, all counts are halved each time that the layers have had so many
// turns. O(log slots) per access.
type lfu struct {
	named
	ranking
	uses    []uint64 // (universe)
	touches int64    // of experts, for their order
	every   int      // groups between halvings; 0: never
	groups  int      // since the last halving
}

func newLFU(name string, shape Shape, slots, half int) *lfu {
	return &lfu{
		named: named(name), ranking: newRanking(shape, slots),
		uses: make([]uint64, shape.Universe()), every: half * shape.Layers,
	}
}

func (p *lfu) Begin(int, []ExpertID, []ExpertID) {
	if p.groups++; p.groups != p.every {
		return
	}
	p.groups = 0
	for e := range p.uses {
		p.uses[e] /= 2
	}
	p.shift(1)
}

func (p *lfu) Touch(e ExpertID) {
	p.uses[e]++
	p.raise(p.rank(e))
}

func (p *lfu) Insert(e ExpertID, prefetch bool) {
	if !prefetch {
		p.uses[e]++
	}
	p.add(p.rank(e))
}

func (p *lfu) Evict() ExpertID {
	if len(p.heap) == 0 {
		p.emptied()
	}
	return p.pop()
}

func (p *lfu) rank(e ExpertID) rank {
	p.touches++
	return rank{p.uses[e], p.touches, e}
}
