package pager

// clock is fifo with a second chance: an expert that was touched since it last stood
// at the front goes to the back instead of out. Corbató, "A paging experiment with the
// Multics system", 1968.
type clock struct {
	*arrayLRU
	touched []bool // (universe)
}

func newClock(shape Shape, slots int) clock {
	return clock{newArrayLRU(shape, slots), make([]bool, shape.Universe())}
}

func (clock) Name() string { return "clock" }

func (p clock) Touch(e ExpertID) { p.touched[e] = true }

func (p clock) Evict() ExpertID {
	for {
		e := p.arrayLRU.Evict()
		if !p.touched[e] {
			return e
		}
		p.touched[e] = false
		p.append(uint32(e))
	}
}
