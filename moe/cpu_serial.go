package moe

import (
	"time"

	"ufm/pager"
)

// delivery brings the experts of a decided group to their slots.
type delivery interface {
	// start begins a group's copies.
	start(plan pager.Plan)
	// finish calls compute, as often as it likes, until each access of the plan that was
	// started last was in one call. It returns how long computing had to wait for copies.
	finish(plan pager.Plan, compute func([]resident)) (stall time.Duration)
	// close waits for what is under way.
	close()
}

// serial is the delivery of modes published and naive: one expert at a time, its copy
// waited for; in mode naive it is also copied back to the host after its call.
type serial struct {
	pool *cpuPool
	back []byte // where an expert goes, for the bank itself is not written to; nil: nowhere
}

func newSerial(pool *cpuPool, mode Mode) *serial {
	d := &serial{pool: pool}
	if mode == Naive {
		d.back = make([]byte, pool.size)
	}
	return d
}

func (d *serial) start(pager.Plan) {}

func (d *serial) close() {}

func (d *serial) finish(plan pager.Plan, compute func([]resident)) (stall time.Duration) {
	for _, a := range plan.Accesses {
		start := time.Now()
		if !a.Hit {
			d.pool.upload(a.Expert, a.Slot)
		}
		stall += time.Since(start)
		compute([]resident{d.pool.resident(a.Expert, a.Slot)})
		if d.back != nil {
			start = time.Now()
			d.pool.download(d.back, a.Slot)
			stall += time.Since(start)
		}
	}
	return stall
}
