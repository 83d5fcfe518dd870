package pager

// mru evicts the expert whose last touch is most recent, which is optimal on a loop:
// Chou and DeWitt, "An evaluation of buffer management strategies for relational
// database systems", VLDB 1985.
type mru struct{ *arrayLRU }

func newMRU(shape Shape, slots int) mru { return mru{newArrayLRU(shape, slots)} }

func (mru) Name() string { return "mru" }

func (p mru) Evict() ExpertID {
	e := p.prev[p.root()]
	if e == p.root() {
		panic("pager: mru: evict from an empty pool")
	}
	p.unlink(e)
	return ExpertID(e)
}
