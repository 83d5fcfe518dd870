package pager

// layerLRU evicts from the layer whose next turn is farthest: the one just executed
// if it has residents outside the group, else the one before it, and so on back
// through the cycle; in a layer the oldest touch. Only where the group alone fills the
// pool do its own members go. O(layers) per miss.
type layerLRU struct {
	named
	shape Shape
	rings         // a list a layer
	used  []int64 // (universe): number of the group that last used it
	group int64   // so far
	at    int     // layer of the last group
}

func newLayerLRU(name string, shape Shape) *layerLRU {
	return &layerLRU{
		named: named(name), shape: shape, rings: newRings(shape, shape.Layers),
		used: make([]int64, shape.Universe()), at: shape.Layers - 1,
	}
}

func (p *layerLRU) Begin(layer int, _, _ []ExpertID) {
	p.group++
	p.at = layer
}

func (p *layerLRU) Touch(e ExpertID) {
	p.move(p.shape.Layer(e), e)
	p.used[e] = p.group
}

func (p *layerLRU) Insert(e ExpertID, prefetch bool) {
	p.append(p.shape.Layer(e), e)
	if prefetch {
		p.used[e] = 0
	} else {
		p.used[e] = p.group
	}
}

func (p *layerLRU) Evict() ExpertID {
	best := NoExpert
	for i := range p.shape.Layers {
		layer := (p.at + p.shape.Layers - i) % p.shape.Layers
		if p.empty(layer) {
			continue
		}
		if e := p.first(layer); best == NoExpert || p.used[e] != p.group {
			best = e
		}
		if p.used[best] != p.group {
			break
		}
	}
	if best == NoExpert {
		p.emptied()
	}
	p.unlink(best)
	return best
}
