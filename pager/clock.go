package pager

// clock is fifo with a second chance: an expert that was touched since it last stood
// at the front goes to the back instead of out.
type clock struct {
	fifo
	touched []bool // (universe)
}

func newClock(name string, shape Shape, slots int) *clock {
	return &clock{*newFIFO(name, slots), make([]bool, shape.Universe())}
}

func (p *clock) Touch(e ExpertID) { p.touched[e] = true }

func (p *clock) Evict() ExpertID {
	for p.size > 0 && p.touched[p.at[p.head]] {
		e := p.at[p.head]
		p.touched[e] = false
		p.at[p.index(p.size)] = e // in a full ring, where it stands
		p.head = p.index(1)
	}
	return p.fifo.Evict()
}
