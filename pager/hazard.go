package pager

import "math/bits"

// hazard learns with what chance a layer's turn uses an expert that it last used so
// many of its turns ago. All layers teach one curve.
//
// A gap that ends in a reuse is counted once, under its length; it was open to reuse at
// every age up to that. Gaps that are still open when the curve is drawn count too:
// leaving them out would make old experts look likelier than they are.
//
//	h(age) = gaps of that length / gaps that reached it      (smoothed by the prior)
//
// The curve is drawn anew as its data grow, by a sixteenth and a step at least, so
// that its cost per group vanishes.
type hazard struct {
	prior int64
	step  int64   // layer turns
	next  int64   // clock at which the curve is drawn again
	curve []int64 // (ages): chance by age, from 1; the last stands for all above

	gaps   []int64 // (ages): ended gaps by length; the last counts all above too
	beyond int64   // by how much those were longer, in all
	open   []int64 // (ages): scratch
}

// hazardAges is the longest age that is told apart.
const hazardAges = 256

func newHazard(prior, layers int64) *hazard {
	h := &hazard{
		prior: prior, step: layers,
		gaps:  make([]int64, hazardAges+1),
		open:  make([]int64, hazardAges+1),
		curve: make([]int64, hazardAges+1),
	}
	fill(h.curve, prior)
	return h
}

// at is the chance of reuse at an age of 1 or more.
func (h *hazard) at(age int64) int64 { return h.curve[min(age, hazardAges)] }

// reused counts a gap that has ended.
func (h *hazard) reused(gap int64) {
	if gap > hazardAges {
		h.beyond += gap - hazardAges
		gap = hazardAges
	}
	h.gaps[gap]++
}

func (h *hazard) stale(clock int64) bool { return clock >= h.next }

// learn draws the curve. habits is (layers, experts), turns (layers).
func (h *hazard) learn(clock int64, habits []habit, turns []int64) {
	h.next = clock + max(h.step, clock/16)
	clear(h.open)
	reached := h.beyond // above the last age a gap is open to reuse more than once
	experts, longest := len(habits)/len(turns), int64(0)
	for l, turn := range turns {
		longest = max(longest, turn)
		for _, habit := range habits[l*experts : (l+1)*experts] {
			if habit.last > 0 {
				age := turn - habit.last
				h.open[min(age, hazardAges)]++
				reached += max(age-hazardAges, 0)
			}
		}
	}
	for age := min(longest, hazardAges); age > 0; age-- {
		reached += h.gaps[age] + h.open[age]
		h.curve[age] = h.smoothed(h.gaps[age], reached)
		if age == hazardAges {
			reached = h.gaps[age] + h.open[age]
		}
	}
}

// smoothed is (used + prior) / (reached + prior's turns), without overflow.
func (h *hazard) smoothed(used, reached int64) int64 {
	high, low := bits.Mul64(uint64(used), uint64(one))
	low, carry := bits.Add64(low, uint64(priorTurns*h.prior), 0)
	chance, _ := bits.Div64(high+carry, low, uint64(reached+priorTurns))
	return int64(chance)
}
