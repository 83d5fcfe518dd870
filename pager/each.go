package pager

import (
	"errors"
	"fmt"
)

// RequestEach requests experts one by one, each as a group of its own, as general cache
// simulators count. It decides what as many calls of Request would, and counts it, but
// plans, uploads and shows nothing: a pager with an uploader or an observer refuses.
func (p *Pager) RequestEach(experts []ExpertID) error {
	if p.uploader != nil || p.observe != nil {
		return errors.New("pager: requests of single experts: the pager has an uploader " +
			"or an observer, which would not learn of them")
	}
	_, ungrouped := p.policy.(interface{ ignoresGroups() })
	before := p.count
	var done int
	if ahead := before.Prefetches - before.PrefetchUsed - before.PrefetchWasted; ungrouped &&
		p.expecter == nil && ahead == 0 {
		done = p.requestEachFast(experts)
	} else {
		done = p.requestEach(experts, ungrouped)
	}
	c := &p.count
	c.Groups += int64(done)
	c.Accesses += int64(done)
	c.Misses = c.Accesses - c.Hits
	c.Uploads = c.Misses + c.Prefetches
	p.publish()
	if done > 0 {
		p.forget()
	}
	if done < len(experts) {
		return fmt.Errorf("pager: request %d: expert %d of %d", done, experts[done], len(p.slotOf))
	}
	return nil
}

// requestEach decides until the first expert that is none, and counts hits.
func (p *Pager) requestEach(experts []ExpertID, ungrouped bool) int {
	for i, e := range experts {
		if int(e) >= len(p.slotOf) {
			return i
		}
		s := p.slotOf[e]
		if !ungrouped {
			p.announce(e, s != noSlot)
		}
		if s != noSlot {
			p.count.Hits++
			p.use(s)
			p.policy.Touch(e)
			continue
		}
		if s, _ = p.freeSlot(); s == noSlot {
			p.expect(e)
			s = p.vacate(p.policy.Evict())
		}
		p.place(e, s)
		p.policy.Insert(e, false)
	}
	return len(experts)
}

// announce tells the policy of a group of one.
func (p *Pager) announce(e ExpertID, hit bool) {
	if layer := p.each.layer; e < p.shape.ID(layer, 0) || e >= p.shape.ID(layer+1, 0) {
		p.each.layer = p.shape.Layer(e) // a division, which runs of one layer share
	}
	one := p.each.expert[:]
	one[0] = e
	if hit {
		p.policy.Begin(p.each.layer, one, nil)
	} else {
		p.policy.Begin(p.each.layer, nil, one)
	}
}
