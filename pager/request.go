package pager

import "fmt"

// Request decides group g, starts its uploads and returns it in execution order.
// A group that is not valid changes nothing. An uploader's error is final: this call
// and every later one return it.
func (p *Pager) Request(g Group) (Plan, error) {
	if p.failed != nil {
		return Plan{}, p.failed
	}
	if err := p.check(g); err != nil {
		return Plan{}, err
	}
	p.begin(g)
	if p.order == Ascending {
		p.decideAscending(g.Experts)
	} else {
		p.decideResidentFirst()
	}
	plan := Plan{Seq: p.event.Seq, Accesses: p.plan, Hits: len(p.event.Hits)}
	p.end()
	if batch := p.event.Misses; len(batch) > 0 && p.uploader != nil {
		if err := p.uploader.Upload(batch, false); err != nil {
			p.failed = fmt.Errorf("pager: upload of step %d, layer %d: %w", g.Step, g.Layer, err)
			return Plan{}, p.failed
		}
	}
	return plan, nil
}

// check reports what is wrong with a group.
func (p *Pager) check(g Group) error {
	if g.Layer < 0 || g.Layer >= p.shape.Layers {
		return fmt.Errorf("pager: group of step %d: layer %d, want 0 to %d",
			g.Step, g.Layer, p.shape.Layers-1)
	}
	if len(g.Experts) == 0 {
		return fmt.Errorf("pager: group of step %d, layer %d: no experts", g.Step, g.Layer)
	}
	low := p.shape.ID(g.Layer, 0)
	high := low + ExpertID(p.shape.Experts)
	for i, e := range g.Experts {
		if e < low || e >= high {
			return fmt.Errorf("pager: group of step %d, layer %d: expert %d, want %d to %d",
				g.Step, g.Layer, e, low, high-1)
		}
		if i > 0 && e <= g.Experts[i-1] {
			return fmt.Errorf("pager: group of step %d, layer %d: expert %d after %d, want ascending",
				g.Step, g.Layer, e, g.Experts[i-1])
		}
	}
	return nil
}

// begin splits the group by what is resident now and announces it to the policy. The
// misses stand in plan until their slots are decided.
func (p *Pager) begin(g Group) {
	ev := &p.event
	ev.Seq, ev.Step, ev.Layer, ev.Phase = int(p.count.Groups), g.Step, g.Layer, g.Phase
	ev.Hits, ev.Misses = ev.Hits[:0], ev.Misses[:0]
	p.plan, p.wanted = p.plan[:0], p.wanted[:0]
	for _, e := range g.Experts {
		if p.slotOf[e] != noSlot {
			ev.Hits = append(ev.Hits, e)
		} else {
			p.wanted = append(p.wanted, e)
		}
	}
	p.policy.Begin(g.Layer, ev.Hits, p.wanted)
}

func (p *Pager) decideResidentFirst() {
	for _, e := range p.event.Hits {
		p.hit(e)
	}
	for _, e := range p.wanted {
		p.miss(e)
	}
}

func (p *Pager) decideAscending(experts []ExpertID) {
	p.event.Hits = p.event.Hits[:0]
	for _, e := range experts {
		if p.slotOf[e] == noSlot {
			p.miss(e)
			continue
		}
		p.event.Hits = append(p.event.Hits, e)
		p.hit(e)
	}
}

func (p *Pager) hit(e ExpertID) {
	s := p.slotOf[e]
	p.use(s)
	p.policy.Touch(e)
	p.plan = append(p.plan, Access{Expert: e, Slot: s, Hit: true, Evicted: NoExpert})
}

// use counts the first use of a prefetch.
func (p *Pager) use(s Slot) {
	if !p.unused[s] {
		return
	}
	p.unused[s] = false
	p.count.PrefetchUsed++
	if p.progress != nil && !p.progress.Uploaded(s) {
		p.count.LateHits++
	}
}

func (p *Pager) miss(e ExpertID) {
	s, old := p.freeSlot()
	if s == noSlot {
		p.expect(e)
		old = p.policy.Evict()
		s = p.vacate(old)
	}
	p.place(e, s)
	p.policy.Insert(e, false)
	p.plan = append(p.plan, Access{Expert: e, Slot: s, Evicted: old})
	p.event.Misses = append(p.event.Misses, Upload{Expert: e, Slot: s, Evicted: old})
}

// end counts the group, shows its event to the observer and forgets its prefetches.
func (p *Pager) end() {
	c, ev := &p.count, &p.event
	c.Groups++
	c.Accesses += int64(len(p.plan))
	c.Hits += int64(len(ev.Hits))
	c.Misses += int64(len(ev.Misses))
	c.Uploads += int64(len(ev.Misses))
	p.publish()
	if p.observe != nil {
		p.observe(ev)
	}
	ev.Prefetches = ev.Prefetches[:0]
	p.guarded = 0
}

// expect tells the policy, if it wants to know, for which expert it will make room.
func (p *Pager) expect(e ExpertID) {
	if p.expecter != nil {
		p.expecter.Expect(e)
	}
}

// freeSlot returns the lowest free slot, or noSlot.
func (p *Pager) freeSlot() (Slot, ExpertID) {
	if p.filled == len(p.held) {
		return noSlot, NoExpert
	}
	p.filled++
	return Slot(p.filled - 1), NoExpert
}

// vacate takes victim out of its slot, which the caller fills at once.
func (p *Pager) vacate(victim ExpertID) Slot {
	if int(victim) >= len(p.slotOf) || p.slotOf[victim] == noSlot {
		p.lied(victim)
	}
	s := p.slotOf[victim]
	p.slotOf[victim] = noSlot
	p.count.Evictions++
	if p.unused[s] {
		p.unused[s] = false
		p.count.PrefetchWasted++
	}
	return s
}

func (p *Pager) lied(victim ExpertID) {
	panic(fmt.Sprintf("pager: policy %s evicts expert %d, which is not resident",
		p.policy.Name(), int64(victim)))
}

func (p *Pager) place(e ExpertID, s Slot) {
	p.slotOf[e] = s
	p.held[s] = e
}
