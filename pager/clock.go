package pager

import "math/bits"

// clock is fifo with a second chance: an expert that was touched since it last stood
// at the front goes to the back instead of out. In a full ring it stays where it stands,
// and the front moves on past it.
type clock struct {
	fifo
	place   []int32  // (universe): where in the ring a resident stands
	touched []uint64 // a bit for each place, set past the last one
}

func newClock(name string, shape Shape, slots int) *clock {
	p := &clock{
		fifo: *newFIFO(name, slots), place: make([]int32, shape.Universe()),
		touched: make([]uint64, (slots+63)/64),
	}
	p.touched[len(p.touched)-1] = p.beyond()
	return p
}

// beyond are the bits of the last word that stand for no place.
func (p *clock) beyond() uint64 { return ^uint64(1) << ((len(p.at) - 1) % 64) }

func (p *clock) Touch(e ExpertID) {
	i := p.place[e]
	p.touched[i/64] |= 1 << (i % 64)
}

func (p *clock) Insert(e ExpertID, prefetch bool) {
	p.place[e] = int32(p.index(p.size))
	p.fifo.Insert(e, prefetch)
}

func (p *clock) Evict() ExpertID {
	for p.size > 0 {
		word, bit := &p.touched[p.head/64], uint64(1)<<(p.head%64)
		if *word&bit == 0 {
			break
		}
		*word ^= bit
		p.Insert(p.fifo.Evict(), false)
	}
	return p.fifo.Evict()
}

// requestEach decides experts one by one, with full pool and ring. No branch depends on
// whether one hits, nor on how many the front passes: those of a word it passes at once,
// as the carry of an addition does. What that needs stays in registers.
//
//	touched    1 0 1 1 1 0 0 1
//	front    +         1
//	sum        1 1 0 0 0 0 0 1   one more is set, which is to go; those passed are not
func (p *clock) requestEach(r *residents, experts []ExpertID) {
	at := uint(p.head)
	i, front := at/64, uint64(1)<<(at%64)
	word := p.touched[i] // what p.touched has of it is out of date till the front leaves
	for _, e := range experts {
		miss := r.missing(e)
		missed := uint64(int32(miss))
		sum := word + front
		for sum&^word == 0 && missed != 0 {
			p.touched[i] = word & (front - 1)
			i = p.nextWord(i)
			word, front = p.touched[i], 1
			sum = word + front
		}
		untouched := sum &^ word
		at = i*64 + uint(bits.TrailingZeros64(untouched))
		at ^= (at ^ uint(p.place[e])) &^ uint(missed)
		touch := 1 << (at % 64) &^ missed
		p.touched[at/64] |= touch
		if at/64 != i {
			touch = 0
		}
		word = word&(sum|^missed) | touch
		front ^= (front ^ untouched<<1) & missed
		victim := p.at[at]
		p.at[at], p.place[e] = e, int32(at)
		r.exchange(victim, e)
		r.evictions += int(miss & 1)
	}
	p.touched[i] = word
	if p.head = int(i)*64 + bits.TrailingZeros64(front); p.head >= len(p.at) {
		p.head = 0
	}
}

// nextWord is the one after word i of touched, which the front has left.
func (p *clock) nextWord(i uint) uint {
	if i++; i < uint(len(p.touched)) {
		return i
	}
	p.touched[i-1] |= p.beyond()
	return 0
}
