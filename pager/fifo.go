package pager

// fifo evicts the expert that has been resident longest.
type fifo struct {
	named
	ungrouped
	at   []ExpertID // (slots): a ring; residents from head on, the oldest first
	head int
	size int
}

func newFIFO(name string, slots int) *fifo {
	return &fifo{named: named(name), at: make([]ExpertID, slots)}
}

func (*fifo) Touch(ExpertID) {}

func (p *fifo) Insert(e ExpertID, _ bool) {
	p.at[p.index(p.size)] = e
	p.size++
}

func (p *fifo) Evict() ExpertID {
	if p.size == 0 {
		p.emptied()
	}
	e := p.at[p.head]
	p.head = p.index(1)
	p.size--
	return e
}

// replace puts e into the place of the oldest, which it returns, if all of miss is set;
// if none is, e stays and is returned. The ring is full.
func (p *fifo) replace(e, miss ExpertID) ExpertID {
	oldest := &p.at[p.head]
	change := (e ^ *oldest) & miss
	*oldest ^= change
	if p.head += int(miss & 1); p.head == len(p.at) {
		p.head = 0
	}
	return e ^ change
}

// index is where the resident stands that has i others before it.
func (p *fifo) index(i int) int {
	if i += p.head; i >= len(p.at) {
		i -= len(p.at)
	}
	return i
}
