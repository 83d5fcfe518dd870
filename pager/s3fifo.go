package pager

// s3fifo filters new experts through a small queue: those not touched twice there are
// evicted early and leave a ghost. The others, and those missed while their ghost is
// remembered, live in the main queue, where each touch, up to three, spares them one
// round. The touches that led to the main queue do not count there.
//
//	miss ──► small ──► evicted, ghost ──► miss ──┐
//	           └── touched twice ────────────────┴──► main ⟲ ──► evicted
type s3fifo struct {
	named
	ungrouped
	lists
	touches   []uint8 // (universe): of a resident, up to s3MaxTouches
	smallSize int     // from which on the small queue gives way
	ghostsMax int
}

const (
	s3None = iota // in no list
	s3Small
	s3Main
	s3Ghost
	s3Lists

	s3MaxTouches = 3
	s3Promoted   = 2 // touches that lead from small to main
)

func newS3FIFO(name string, shape Shape, small, ghosts int) *s3fifo {
	return &s3fifo{
		named: named(name), lists: newLists(shape, s3Lists), touches: make([]uint8, shape.Universe()),
		smallSize: max(small, 1), ghostsMax: max(ghosts, 1),
	}
}

func (p *s3fifo) Touch(e ExpertID) { p.touches[e] = min(p.touches[e]+1, s3MaxTouches) }

// Insert looks for the ghost before it forgets the oldest ones, which evictions for this
// very expert may have made too many.
func (p *s3fifo) Insert(e ExpertID, _ bool) {
	list := uint8(s3Small)
	if p.of[e] == s3Ghost {
		p.drop(e)
		list = s3Main
	}
	p.touches[e] = 0
	p.put(list, e)
	for p.size[s3Ghost] > p.ghostsMax {
		p.drop(p.first(s3Ghost))
	}
}

func (p *s3fifo) Evict() ExpertID {
	for p.size[s3Small] > 0 && (p.size[s3Small] >= p.smallSize || p.size[s3Main] == 0) {
		e := p.first(s3Small)
		p.drop(e)
		if p.touches[e] < s3Promoted {
			p.put(s3Ghost, e)
			return e
		}
		p.touches[e] = 0
		p.put(s3Main, e)
	}
	if p.size[s3Main] == 0 {
		p.emptied()
	}
	for {
		e := p.first(s3Main)
		if p.touches[e] == 0 {
			p.drop(e)
			return e
		}
		p.touches[e]--
		p.move(s3Main, e)
	}
}
