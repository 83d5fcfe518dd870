package pager

// layerLRU evicts from the layer whose next turn is farthest: the one just executed
// if it has residents outside the group, else the one before it, and so on back
// through the cycle; in a layer the oldest touch. Only where the group alone fills the
// pool do its own members go. It follows the layered LRU of Angelopoulos et al.,
// arXiv 2509.02408. O(layers) per miss.
type layerLRU struct {
	shape      Shape
	next, prev []uint32 // (universe + layers): a ring a layer, its root past the universe
	used       []int64  // (universe): number of the group that last used it
	group      int64    // so far
	at         int      // layer of the last group
}

func newLayerLRU(shape Shape) *layerLRU {
	n := shape.Universe()
	p := &layerLRU{
		shape: shape, used: make([]int64, n), at: shape.Layers - 1,
		next: make([]uint32, n+shape.Layers), prev: make([]uint32, n+shape.Layers),
	}
	for root := n; root < len(p.next); root++ {
		p.next[root], p.prev[root] = uint32(root), uint32(root)
	}
	return p
}

func (*layerLRU) Name() string { return "layerlru" }

func (p *layerLRU) Begin(layer int, _, _ []ExpertID) {
	p.group++
	p.at = layer
}

func (p *layerLRU) Touch(e ExpertID) {
	p.unlink(uint32(e))
	p.append(e)
	p.used[e] = p.group
}

func (p *layerLRU) Insert(e ExpertID, prefetch bool) {
	p.append(e)
	if prefetch {
		p.used[e] = 0
	} else {
		p.used[e] = p.group
	}
}

func (p *layerLRU) Evict() ExpertID {
	e, ok := p.oldest(p.at)
	for i := 0; i < p.shape.Layers && (!ok || p.used[e] == p.group); i++ {
		layer := (p.at + p.shape.Layers - i) % p.shape.Layers
		if x, there := p.oldest(layer); there && (!ok || p.used[x] != p.group) {
			e, ok = x, true
		}
	}
	if !ok {
		panic("pager: layerlru: evict from an empty pool")
	}
	p.unlink(uint32(e))
	return e
}

func (p *layerLRU) oldest(layer int) (e ExpertID, ok bool) {
	root := p.root(layer)
	return ExpertID(p.next[root]), p.next[root] != root
}

func (p *layerLRU) root(layer int) uint32 { return uint32(p.shape.Universe() + layer) }

func (p *layerLRU) append(e ExpertID) {
	root := p.root(p.shape.Layer(e))
	last := p.prev[root]
	p.next[last], p.prev[e] = uint32(e), last
	p.next[e], p.prev[root] = root, uint32(e)
}

func (p *layerLRU) unlink(e uint32) {
	p.next[p.prev[e]], p.prev[p.next[e]] = p.next[e], p.prev[e]
}
