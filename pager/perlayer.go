package pager

// perLayer gives each layer an equal share of the slots and evicts the oldest touch of
// the layer that needs room. Where that layer has less than its share, the layer that
// is farthest above its own gives way. O(layers) per miss then, else O(1).
type perLayer struct {
	named
	ungrouped
	shape  Shape
	slots  int
	rings        // a list a layer
	size   []int // (layers)
	coming int   // layer that the next eviction makes room for, or -1
}

func newPerLayer(name string, shape Shape, slots int) *perLayer {
	return &perLayer{
		named: named(name), shape: shape, slots: slots, coming: -1,
		rings: newRings(shape, shape.Layers), size: make([]int, shape.Layers),
	}
}

// share of the slots; the first layers have those that are left over.
func (p *perLayer) share(layer int) int {
	share := p.slots / p.shape.Layers
	if layer < p.slots%p.shape.Layers {
		share++
	}
	return share
}

// Expect notes whose share has to do.
func (p *perLayer) Expect(e ExpertID) { p.coming = p.shape.Layer(e) }

func (p *perLayer) Touch(e ExpertID) { p.move(p.shape.Layer(e), e) }

func (p *perLayer) Insert(e ExpertID, _ bool) {
	layer := p.shape.Layer(e)
	p.append(layer, e)
	p.size[layer]++
}

func (p *perLayer) Evict() ExpertID {
	layer := p.coming
	p.coming = -1
	if layer < 0 || p.size[layer] == 0 || p.size[layer] < p.share(layer) {
		layer = p.fullest()
	}
	if p.empty(layer) {
		p.emptied()
	}
	e := p.first(layer)
	p.unlink(e)
	p.size[layer]--
	return e
}

// fullest is the layer with the most residents above its share, the lowest such.
func (p *perLayer) fullest() int {
	best := -1
	for layer, size := range p.size {
		if size > 0 && (best < 0 || size-p.share(layer) > p.size[best]-p.share(best)) {
			best = layer
		}
	}
	return max(best, 0)
}
