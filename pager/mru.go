package pager

// mru evicts the expert whose last touch is most recent, which is optimal on a loop.
type mru struct{ *arrayLRU }

func newMRU(name string, shape Shape) mru { return mru{newArrayLRU(name, shape)} }

func (p mru) Evict() ExpertID {
	if p.empty(0) {
		p.emptied()
	}
	e := ExpertID(p.at[p.root(0)].prev)
	p.unlink(e)
	return e
}
