package pager

import "fmt"

// minimum is belady on single accesses: each resident has a time of its own at which it
// is used next, so that residents are bits on a line of times, and the last bit is the
// victim. O(log₆₄ accesses) per access.
//
//	times   0 … now … accesses … accesses + universe
//	              ▲ next uses ▲   ▲ never used again: the oldest touch last
type minimum struct {
	named
	ungrouped
	accesses []ExpertID
	next     []int32    // (accesses): time of the expert's next use
	dead     []ExpertID // (universe): which expert a time past the accesses stands for
	now      int
	due      bitTree
}

// NewMin makes the exact policy for a pager that is asked for exactly these experts, one
// by one and without prefetches. Any other request makes it panic. No policy misses
// less often. Ties go to the oldest touch.
func NewMin(shape Shape, accesses []ExpertID) (Policy, error) {
	if err := shape.validate(); err != nil {
		return nil, err
	}
	universe := shape.Universe()
	if len(accesses) > 1<<31-1-universe {
		return nil, fmt.Errorf("pager: min: %d accesses are more than %d",
			len(accesses), 1<<31-1-universe)
	}
	m := &minimum{
		named: "min", accesses: accesses, now: -1,
		next: make([]int32, len(accesses)), dead: make([]ExpertID, universe),
		due: newBitTree(len(accesses) + universe),
	}
	upcoming := make([]int32, universe) // time of the next use, from the access looked at
	fill(upcoming, none)
	last := len(accesses) // whoever is used later for the last time dies first
	for i := len(accesses) - 1; i >= 0; i-- {
		e := accesses[i]
		if int(e) >= universe {
			return nil, fmt.Errorf("pager: min: access %d: expert %d of %d", i, e, universe)
		}
		m.next[i] = upcoming[e]
		if upcoming[e] == none {
			m.next[i], m.dead[last-len(accesses)] = int32(last), e
			last++
		}
		upcoming[e] = int32(i)
	}
	return m, nil
}

func (m *minimum) Touch(e ExpertID) {
	m.use(e)
	m.due.clear(m.now)
	m.due.set(int(m.next[m.now]))
}

func (m *minimum) Insert(e ExpertID, prefetch bool) {
	if prefetch {
		panic("pager: min: it knows nothing of prefetches")
	}
	m.use(e)
	m.due.set(int(m.next[m.now]))
}

func (m *minimum) use(e ExpertID) {
	m.now++
	if m.now >= len(m.accesses) || m.accesses[m.now] != e {
		panic(fmt.Sprintf("pager: min: access %d is of expert %d, which was not foretold", m.now, e))
	}
}

func (m *minimum) Evict() ExpertID {
	if m.due.empty() {
		m.emptied()
	}
	t := m.due.last()
	m.due.clear(t)
	if t < len(m.accesses) {
		return m.accesses[t]
	}
	return m.dead[t-len(m.accesses)]
}
