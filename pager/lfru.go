package pager

// lfru evicts the expert with the least combined recency and frequency: the sum over
// its uses of a weight that fades by 1/window with each turn of the layers.
//
// Fading all sums alike does not change their order. So the sums stay as they are and
// new uses weigh more and more instead, until the weight grows too large and all is
// divided. O(log slots) per access.
type lfru struct {
	named
	ranking
	sums    []uint64 // (universe)
	weight  uint64   // of a use now
	groups  uint64   // in which the weight grows by its first value
	touches int64    // of experts, for their order
}

const (
	lfruBits   = 24 // of the weight at first
	lfruGrowth = 16 // bits by which it grows before all is divided
)

func newLFRU(name string, shape Shape, slots, window int) *lfru {
	return &lfru{
		named: named(name), ranking: newRanking(shape, slots), weight: 1 << lfruBits,
		sums: make([]uint64, shape.Universe()), groups: uint64(window * shape.Layers),
	}
}

func (p *lfru) Begin(int, []ExpertID, []ExpertID) {
	p.weight += max(p.weight/p.groups, 1)
	if p.weight < 1<<(lfruBits+lfruGrowth) {
		return
	}
	p.weight >>= lfruGrowth
	for e := range p.sums {
		p.sums[e] >>= lfruGrowth
	}
	p.shift(lfruGrowth)
}

func (p *lfru) Touch(e ExpertID) {
	p.sums[e] += p.weight
	p.raise(p.rank(e))
}

func (p *lfru) Insert(e ExpertID, prefetch bool) {
	if !prefetch {
		p.sums[e] += p.weight
	}
	p.add(p.rank(e))
}

func (p *lfru) Evict() ExpertID {
	if len(p.heap) == 0 {
		p.emptied()
	}
	return p.pop()
}

func (p *lfru) rank(e ExpertID) rank {
	p.touches++
	return rank{p.sums[e], p.touches, e}
}
