package moe

import (
	"fmt"

	"ufm/pager"
)

// Placement decides where the experts of each group are, in any mode: a pager, or for
// the modes without one the same answers and counts. One goroutine may use it.
type Placement struct {
	pager *pager.Pager // Published, UFM
	mode  Mode
	shape pager.Shape
	slots int
	seq   int
	plan  []pager.Access
	event pager.Event
	stats pager.Stats
	see   func(*pager.Event)
}

// NewPlacement makes the placement of cfg's mode. up is told every upload; in Baseline,
// where all experts stay, and Naive, where they come and go, it is not called.
func NewPlacement(cfg RunConfig, up pager.Uploader) (*Placement, error) {
	p := &Placement{mode: cfg.Mode, shape: cfg.Shape.Paging(), see: cfg.Observe}
	var err error
	switch cfg.Mode {
	case Baseline:
		p.slots = p.shape.Universe()
		return p, nil
	case Naive:
		p.slots = 1
		return p, nil
	case Published:
		lru, e := pager.NewPolicy("lru", p.shape, cfg.Slots)
		if e != nil {
			return nil, e
		}
		p.pager, err = pager.New(pager.Options{
			Shape: p.shape, Slots: cfg.Slots, Policy: lru, Order: pager.Ascending,
			Uploader: up, Observe: cfg.Observe,
		})
	default:
		p.pager, err = pager.New(pager.Options{
			Shape: p.shape, Slots: cfg.Slots, Policy: cfg.Policy,
			Uploader: up, Observe: cfg.Observe,
		})
	}
	if err != nil {
		return nil, fmt.Errorf("moe: %w", err)
	}
	p.slots = p.pager.Slots()
	return p, nil
}

// Slots is the number of slots that the mode's pool needs.
func (p *Placement) Slots() int { return p.slots }

// Full reports whether every expert of the model is in its slot, to stay.
func (p *Placement) Full() bool {
	if p.pager == nil {
		return p.mode == Baseline
	}
	return p.pager.Full()
}

// SlotOf tells where an expert is.
func (p *Placement) SlotOf(e pager.ExpertID) (pager.Slot, bool) {
	if p.pager == nil {
		return pager.Slot(e), p.mode == Baseline
	}
	return p.pager.SlotOf(e)
}

// Stats is a snapshot of the counts.
func (p *Placement) Stats() pager.Stats {
	if p.pager != nil {
		return p.pager.Stats()
	}
	return p.stats
}

// Prefetch uploads experts ahead of the next group, as pager.Pager does. Where every
// expert is resident, or the mode has no prefetch, it does nothing.
func (p *Placement) Prefetch(experts []pager.ExpertID) error {
	if p.pager == nil || p.mode != UFM || p.Full() {
		return nil
	}
	return p.pager.Prefetch(experts)
}

// Request decides a group, as pager.Pager does.
func (p *Placement) Request(g pager.Group) (pager.Plan, error) {
	if p.pager != nil {
		return p.pager.Request(g)
	}
	p.plan = p.plan[:0]
	p.event = pager.Event{
		Seq: p.seq, Step: g.Step, Layer: g.Layer, Phase: g.Phase,
		Hits: p.event.Hits[:0], Misses: p.event.Misses[:0],
	}
	for _, e := range g.Experts {
		a := pager.Access{Expert: e, Slot: pager.Slot(e), Hit: true, Evicted: pager.NoExpert}
		if p.mode == Naive {
			a.Slot, a.Hit = 0, false
			p.event.Misses = append(p.event.Misses,
				pager.Upload{Expert: e, Slot: 0, Evicted: pager.NoExpert})
		} else {
			p.event.Hits = append(p.event.Hits, e)
		}
		p.plan = append(p.plan, a)
	}
	hits, misses := int64(len(p.event.Hits)), int64(len(p.event.Misses))
	p.seq++
	p.stats.Groups++
	p.stats.Accesses += hits + misses
	p.stats.Hits += hits
	p.stats.Misses += misses
	p.stats.Uploads += misses
	if p.see != nil {
		p.see(&p.event)
	}
	return pager.Plan{Seq: p.seq - 1, Accesses: p.plan, Hits: int(hits)}, nil
}
