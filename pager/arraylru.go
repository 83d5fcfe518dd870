package pager

// arrayLRU decides like lru, on flat arrays: a doubly linked ring through the expert
// ids, the oldest after the root and the newest before it.
//
//	root ⇄ oldest ⇄ … ⇄ newest ⇄ root
//
// Every call is O(1) and allocates nothing.
type arrayLRU struct {
	next, prev []uint32 // (universe + 1): the last element is the root
}

func newArrayLRU(shape Shape, _ int) *arrayLRU {
	n := shape.Universe()
	p := &arrayLRU{next: make([]uint32, n+1), prev: make([]uint32, n+1)}
	p.next[n], p.prev[n] = uint32(n), uint32(n)
	return p
}

func (*arrayLRU) Name() string { return "arraylru" }

func (*arrayLRU) Begin(int, []ExpertID, []ExpertID) {}

func (p *arrayLRU) Touch(e ExpertID) {
	p.unlink(uint32(e))
	p.append(uint32(e))
}

func (p *arrayLRU) Insert(e ExpertID, _ bool) { p.append(uint32(e)) }

func (p *arrayLRU) Evict() ExpertID {
	e := p.next[p.root()]
	if e == p.root() {
		panic("pager: arraylru: evict from an empty pool")
	}
	p.unlink(e)
	return ExpertID(e)
}

func (p *arrayLRU) root() uint32 { return uint32(len(p.next) - 1) }

func (p *arrayLRU) append(e uint32) {
	root := p.root()
	last := p.prev[root]
	p.next[last], p.prev[e] = e, last
	p.next[e], p.prev[root] = root, e
}

func (p *arrayLRU) unlink(e uint32) {
	p.next[p.prev[e]], p.prev[p.next[e]] = p.next[e], p.prev[e]
}
