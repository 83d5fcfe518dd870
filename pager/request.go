package pager

import "fmt"

// Request decides group g, starts its uploads and returns it in execution order.
// A group that is not valid changes nothing. An uploader's error is final: this call
// and every later one return it.
func (p *Pager) Request(g Group) (Plan, error) {
	if err := p.decide(&g); err != nil {
		return Plan{}, err
	}
	p.publish()
	if p.observe != nil {
		p.observe(&p.event)
	}
	p.forget()
	if batch := p.event.Misses; len(batch) > 0 && p.uploader != nil {
		if err := p.uploader.Upload(batch, false); err != nil {
			p.failed = fmt.Errorf("pager: upload of step %d, layer %d: %w", g.Step, g.Layer, err)
			return Plan{}, p.failed
		}
	}
	return Plan{Seq: p.event.Seq, Accesses: p.plan, Hits: len(p.event.Hits)}, nil
}

// RequestAll requests groups one after the other, without their plans, and returns how
// many it has. Where nothing is uploaded nor observed, it publishes counts only at its end.
func (p *Pager) RequestAll(groups []Group) (int, error) {
	if p.uploader != nil || p.observe != nil {
		for i, g := range groups {
			if _, err := p.Request(g); err != nil {
				return i, err
			}
		}
		return len(groups), nil
	}
	p.unplanned = true
	defer func() {
		p.unplanned = false
		p.publish()
	}()
	for i := range groups {
		if err := p.decide(&groups[i]); err != nil {
			return i, err
		}
		p.forget()
	}
	return len(groups), nil
}

// decide decides a group and counts it. What it did is in event and plan.
func (p *Pager) decide(g *Group) error {
	if p.failed != nil {
		return p.failed
	}
	if err := p.check(g); err != nil {
		return err
	}
	p.begin(g)
	if p.order == Ascending {
		p.decideAscending(g.Experts)
	} else {
		p.decideResidentFirst()
	}
	p.tally()
	return nil
}

// check reports what is wrong with a group.
func (p *Pager) check(g *Group) error {
	if g.Layer < 0 || g.Layer >= p.shape.Layers {
		return fmt.Errorf("pager: group of step %d: layer %d, want 0 to %d",
			g.Step, g.Layer, p.shape.Layers-1)
	}
	if len(g.Experts) == 0 {
		return fmt.Errorf("pager: group of step %d, layer %d: no experts", g.Step, g.Layer)
	}
	least, end := p.shape.ID(g.Layer, 0), p.shape.ID(g.Layer+1, 0)
	for i, e := range g.Experts {
		if e < least || e >= end {
			return p.misplaced(g, i)
		}
		least = e + 1
	}
	return nil
}

// misplaced reports that expert i of a group is not of its layer, or not after the one
// before it.
func (p *Pager) misplaced(g *Group, i int) error {
	e, low, end := g.Experts[i], p.shape.ID(g.Layer, 0), p.shape.ID(g.Layer+1, 0)
	if e < low || e >= end {
		return fmt.Errorf("pager: group of step %d, layer %d: expert %d, want %d to %d",
			g.Step, g.Layer, e, low, end-1)
	}
	return fmt.Errorf("pager: group of step %d, layer %d: expert %d after %d, want ascending",
		g.Step, g.Layer, e, g.Experts[i-1])
}

// begin splits the group by what is resident now and announces it to the policy. The
// misses stand in plan until their slots are decided.
func (p *Pager) begin(g *Group) {
	ev := &p.event
	ev.Seq, ev.Step, ev.Layer, ev.Phase = int(p.count.Groups), g.Step, g.Layer, g.Phase
	ev.Misses = ev.Misses[:0]
	p.plan = p.plan[:0]
	// Each expert is written to both, and stays in one: a branch would be guessed wrong.
	hits, wanted := ev.Hits[:p.shape.Experts], p.wanted[:p.shape.Experts]
	resident := 0
	for i, e := range g.Experts {
		hits[resident], wanted[i-resident] = e, e
		resident += 1 + int(p.slotOf[e]>>31) // noSlot has its sign bit set
	}
	ev.Hits, p.wanted = hits[:resident], wanted[:len(g.Experts)-resident]
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
	if !p.unplanned {
		p.plan = append(p.plan, Access{Expert: e, Slot: s, Hit: true, Evicted: NoExpert})
	}
}

// use counts the first use of a prefetch.
func (p *Pager) use(s Slot) {
	if p.unused[s] {
		p.usePrefetch(s)
	}
}

func (p *Pager) usePrefetch(s Slot) {
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
	if !p.unplanned {
		p.plan = append(p.plan, Access{Expert: e, Slot: s, Evicted: old})
	}
	p.event.Misses = append(p.event.Misses, Upload{Expert: e, Slot: s, Evicted: old})
}

// tally counts the group.
func (p *Pager) tally() {
	c, ev := &p.count, &p.event
	c.Groups++
	c.Accesses += int64(len(ev.Hits) + len(ev.Misses))
	c.Hits += int64(len(ev.Hits))
	c.Misses += int64(len(ev.Misses))
	c.Uploads += int64(len(ev.Misses))
}

// forget ends the time before a group, which its prefetches belonged to.
func (p *Pager) forget() {
	p.event.Prefetches = p.event.Prefetches[:0]
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
