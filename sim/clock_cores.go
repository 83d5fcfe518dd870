package sim

import "ufm/pager"

// shared runs a plan where a thread copies misses while the cores compute what is there,
// as the CPU backend does. Threads and copier share the cores and the memory: while both
// are at work, each has the part of its speed that was measured so, or cores / (cores + 1).
//
//	copier    [miss 0]······[miss 1]          waits for the last reader of the slot
//	compute   [hits, some at a time][stall][miss 0][miss 1]
func (c *clock) shared(layer int, plan pager.Plan, tail float64) {
	c.compute = max(c.compute, c.now)
	r := race{clock: c, accesses: plan.Accesses, there: plan.Hits}
	for i, a := range plan.Accesses[:plan.Hits] {
		c.chunkOf[a.Slot] = int32(i + 1)
	}
	for r.done < len(r.accesses) {
		r.start()
		r.advance(layer)
	}
	for _, a := range plan.Accesses {
		c.chunkOf[a.Slot] = 0
		c.written[a.Slot] = c.compute
	}
	c.compute += tail
	c.times.Compute += tail
	c.times.Link += float64(len(plan.Accesses)-plan.Hits) * c.transfer
}

// race is one group's copier and cores on their way. The clock's chunkOf has, by slot,
// how many accesses must be computed before the slot may be overwritten.
type race struct {
	*clock
	accesses  []pager.Access
	done      int     // accesses that are computed
	there     int     // accesses whose expert is resident
	batch     int     // accesses that are being computed
	computing float64 // what is left of them
	beside    sharing // of the batch with a copy
	copying   float64 // what is left of the copy
}

// start gives work to whoever has none.
func (r *race) start() {
	if r.batch == 0 {
		r.batch = min(r.there-r.done, 4*int(r.cores))
		batch := r.accesses[r.done:][:r.batch]
		r.computing = r.dispatch(batch)
		r.times.Compute += r.computing
		if r.batch > 0 {
			r.beside = r.speed[batch[0].Expert].beside
		}
	}
	if r.copying == 0 && r.there < len(r.accesses) &&
		int(r.chunkOf[r.accesses[r.there].Slot]) <= r.done {
		r.copying = r.transfer
	}
}

// advance lets time pass until one of the two is done.
func (r *race) advance(layer int) {
	at := sharing{1, 1}
	if r.batch > 0 && r.copying > 0 {
		at = r.beside
	}
	step := r.computing / at.compute
	if r.batch == 0 {
		step = r.copying
		r.times.Stall[layer] += step
	} else if r.copying > 0 {
		step = min(step, r.copying/at.copy)
	}
	r.compute += step
	if r.batch > 0 {
		if r.computing -= step * at.compute; r.computing <= nearlyNothing {
			r.done, r.batch = r.done+r.batch, 0
		}
	}
	if r.copying > 0 {
		if r.copying -= step * at.copy; r.copying <= nearlyNothing {
			r.copying = 0
			r.there++
			r.chunkOf[r.accesses[r.there-1].Slot] = int32(r.there)
		}
	}
}

// nearlyNothing is a time, in nanoseconds, that rounding may leave of what is done.
const nearlyNothing = 1e-3
