package pager

import "fmt"

// Issued tells whether the request led to an upload. One for an expert that was
// resident names its slot and the expert itself as what the slot held; one that
// found no slot has slot -1.
func (p Prefetch) Issued() bool { return p.Slot >= 0 && p.Evicted != p.Expert }

// Prefetch uploads experts ahead of the group that may use them. It is called between
// two groups, as often as the caller likes. Ids past the end of the model are ignored.
//
// An expert that is prefetched, or was resident when asked for, stays until the next
// group: no prefetch before it may evict it. What finds no slot is dropped. A call
// first notes which of its experts are resident, then places the others in the order
// given, so that a call equals its requests made one by one in the event's order.
func (p *Pager) Prefetch(experts []ExpertID) error {
	if p.failed != nil {
		return p.failed
	}
	p.batch = p.batch[:0]
	for _, e := range experts {
		if int64(e) < int64(len(p.slotOf)) && p.slotOf[e] != noSlot {
			p.guard(e)
			p.note(Upload{Expert: e, Slot: p.slotOf[e], Evicted: e})
		}
	}
	for _, e := range experts {
		if int64(e) < int64(len(p.slotOf)) && p.slotOf[e] == noSlot {
			p.fetch(e)
		}
	}
	p.publish()
	if len(p.batch) == 0 || p.uploader == nil {
		return nil
	}
	if err := p.uploader.Upload(p.batch, true); err != nil {
		p.failed = fmt.Errorf("pager: upload of prefetch before group %d: %w", p.count.Groups, err)
	}
	return p.failed
}

// fetch places e, which is not resident, or drops it.
func (p *Pager) fetch(e ExpertID) {
	s, old := p.freeSlot()
	if s == noSlot {
		if p.guarded == len(p.held) {
			p.note(Upload{Expert: e, Slot: noSlot, Evicted: NoExpert})
			return
		}
		p.expect(e)
		old = p.evictUnguarded()
		s = p.vacate(old)
	}
	p.place(e, s)
	p.unused[s] = true
	p.policy.Insert(e, true)
	p.guard(e)
	up := Upload{Expert: e, Slot: s, Evicted: old}
	p.batch = append(p.batch, up)
	p.note(up)
	p.count.Prefetches++
	p.count.Uploads++
}

// evictUnguarded asks the policy for victims until one may go. Those that may not
// return to the policy as if just prefetched, in the order in which they came.
func (p *Pager) evictUnguarded() ExpertID {
	p.aside = p.aside[:0]
	victim := p.policy.Evict()
	for p.isGuarded(victim) {
		p.aside = append(p.aside, victim)
		victim = p.policy.Evict()
	}
	for _, e := range p.aside {
		p.policy.Insert(e, true)
	}
	return victim
}

func (p *Pager) guard(e ExpertID) {
	if !p.isGuarded(e) {
		p.asked[e] = int(p.count.Groups) + 1
		p.guarded++
	}
}

func (p *Pager) isGuarded(e ExpertID) bool {
	return p.asked[e] == int(p.count.Groups)+1
}

func (p *Pager) note(up Upload) {
	p.event.Prefetches = append(p.event.Prefetches,
		Prefetch{Upload: up, Before: int(p.count.Groups)})
}
