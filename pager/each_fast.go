package pager

// requestEachFast is requestEach where no prefetch waits for its use and the policy
// neither asks for groups nor for whom it makes room. All it needs is at hand.
//
// The loop stands here once for any policy and once for each of the three that are little
// more than the loop: there the compiler puts their calls in its place.
func (p *Pager) requestEachFast(experts []ExpertID) int {
	done := 0
	for done < len(experts) && int(experts[done]) < len(p.slotOf) {
		done++
	}
	experts = experts[:done]
	r := residents{slotOf: p.slotOf, held: p.held, filled: p.filled}
	switch policy := p.policy.(type) {
	case *fifo:
		r.requestFIFO(policy, experts)
	case *clock:
		r.requestClock(policy, experts)
	case *arrayLRU:
		r.requestLRU(policy, experts)
	default:
		for _, e := range experts {
			if r.has(e) {
				policy.Touch(e)
				continue
			}
			if r.full() {
				victim := policy.Evict()
				if int(victim) >= len(p.slotOf) || !r.has(victim) {
					p.lied(victim)
				}
				r.exchange(victim, e)
			} else {
				r.add(e)
			}
			policy.Insert(e, false)
		}
	}
	p.count.Hits += int64(done - r.evictions - (r.filled - p.filled))
	p.count.Evictions += int64(r.evictions)
	p.filled = r.filled
	return done
}

func (r *residents) requestFIFO(policy *fifo, experts []ExpertID) {
	for _, e := range experts {
		if r.has(e) {
			continue
		}
		if r.full() {
			r.exchange(policy.Evict(), e)
		} else {
			r.add(e)
		}
		policy.Insert(e, false)
	}
}

func (r *residents) requestClock(policy *clock, experts []ExpertID) {
	for _, e := range experts {
		if r.has(e) {
			policy.Touch(e)
			continue
		}
		if r.full() {
			r.exchange(policy.Evict(), e)
		} else {
			r.add(e)
		}
		policy.Insert(e, false)
	}
}

func (r *residents) requestLRU(policy *arrayLRU, experts []ExpertID) {
	for _, e := range experts {
		if r.has(e) {
			policy.Touch(e)
			continue
		}
		if r.full() {
			r.exchange(policy.Evict(), e)
		} else {
			r.add(e)
		}
		policy.Insert(e, false)
	}
}

// residents are a pager's, apart from all else that it knows.
type residents struct {
	slotOf    []Slot     // (universe)
	held      []ExpertID // (slots)
	filled    int
	evictions int
}

func (r *residents) has(e ExpertID) bool { return r.slotOf[e] != noSlot }

func (r *residents) full() bool { return r.filled == len(r.held) }

// add puts e into the first free slot.
func (r *residents) add(e ExpertID) {
	r.slotOf[e], r.held[r.filled] = Slot(r.filled), e
	r.filled++
}

// exchange puts e into the victim's slot.
func (r *residents) exchange(victim, e ExpertID) {
	s := r.slotOf[victim]
	r.slotOf[victim] = noSlot
	r.slotOf[e], r.held[s] = s, e
	r.evictions++
}
