package pager

// requestEachFast is requestEach where no prefetch waits for its use and the policy
// neither asks for groups nor for whom it makes room. All it needs is at hand.
//
// Whether an access hits is what no processor can guess, and a wrong guess costs as much
// as all else. So the three policies that are little more than a list have loops without
// that branch: there a hit is an exchange too, of an expert for itself.
func (p *Pager) requestEachFast(experts []ExpertID) int {
	done := 0
	for done < len(experts) && int(experts[done]) < len(p.slotOf) {
		done++
	}
	r := residents{slotOf: p.slotOf, held: p.held, filled: p.filled}
	experts = r.fill(p.policy, experts[:done])
	switch policy := p.policy.(type) {
	case *fifo:
		r.requestFIFO(policy, experts)
	case *clock:
		policy.requestEach(&r, experts)
	case *arrayLRU:
		r.requestLRU(policy, experts)
	default:
		for _, e := range experts {
			if r.has(e) {
				policy.Touch(e)
				continue
			}
			victim := policy.Evict()
			if int(victim) >= len(p.slotOf) || !r.has(victim) {
				p.lied(victim)
			}
			r.exchange(victim, e)
			policy.Insert(e, false)
			r.evictions++
		}
	}
	p.count.Hits += int64(done - r.evictions - (r.filled - p.filled))
	p.count.Evictions += int64(r.evictions)
	p.filled = r.filled
	return done
}

func (r *residents) requestFIFO(policy *fifo, experts []ExpertID) {
	for _, e := range experts {
		miss := r.missing(e)
		r.exchange(policy.replace(e, miss), e)
		r.evictions += int(miss & 1)
	}
}

func (r *residents) requestLRU(policy *arrayLRU, experts []ExpertID) {
	for _, e := range experts {
		miss := r.missing(e)
		r.exchange(policy.replace(e, miss), e)
		r.evictions += int(miss & 1)
	}
}

// residents are a pager's, apart from all else that it knows.
type residents struct {
	slotOf    []Slot     // (universe)
	held      []ExpertID // (slots)
	filled    int
	evictions int
}

// fill requests experts until the pool is full, and returns the others.
func (r *residents) fill(policy Policy, experts []ExpertID) []ExpertID {
	for i, e := range experts {
		switch {
		case r.filled == len(r.held):
			return experts[i:]
		case r.has(e):
			policy.Touch(e)
		default:
			r.slotOf[e], r.held[r.filled] = Slot(r.filled), e
			r.filled++
			policy.Insert(e, false)
		}
	}
	return nil
}

func (r *residents) has(e ExpertID) bool { return r.slotOf[e] != noSlot }

// missing has all bits set where e is not resident, and else none.
func (r *residents) missing(e ExpertID) ExpertID { return ExpertID(r.slotOf[e] >> 31) }

// exchange puts e into the victim's slot.
func (r *residents) exchange(victim, e ExpertID) {
	s := r.slotOf[victim]
	r.slotOf[victim] = noSlot
	r.slotOf[e], r.held[s] = s, e
}
