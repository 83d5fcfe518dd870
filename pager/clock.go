package pager

// clock is fifo with a second chance: an expert that was touched since it last stood
// at the front goes to the back instead of out.
type clock struct {
	*arrayLRU
	touched []bool // (universe)
}

func newClock(name string, shape Shape) *clock {
	return &clock{newArrayLRU(name, shape), make([]bool, shape.Universe())}
}

func (p *clock) Touch(e ExpertID) { p.touched[e] = true }

func (p *clock) Evict() ExpertID {
	for {
		e := p.arrayLRU.Evict()
		if !p.touched[e] {
			return e
		}
		p.touched[e] = false
		p.append(0, e)
	}
}
