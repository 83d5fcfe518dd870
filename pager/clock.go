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
	head := p.head
	for p.size > 0 && p.touched[p.at[head]] {
		e := p.at[head]
		p.touched[e] = false
		if p.size < len(p.at) { // in a full ring it goes to where it stands
			p.at[p.index(p.size)] = e
		}
		if head++; head == len(p.at) {
			head = 0
		}
		p.head = head
	}
	return p.fifo.Evict()
}
