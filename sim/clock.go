package sim

import (
	"ufm/internal/hardware"
	"ufm/pager"
)

// clock is the time model: a virtual clock beside a pager, which follows the schedule of
// a real backend. Everything is in nanoseconds since the start.
//
//	host      ─decide─┬─computes─┐                           wake┌─decide─
//	                  └uploads┐  └──[hits]···stall···[misses]─[tail]┘
//	compute                   │         │ slots free   ↑
//	transfer 0                ├[bundle 1]──────────────┘
//	transfer 1                └──waits──└──[bundle 2]──
//
// A group costs the host one turn: it decides when the router's choice is there, records and
// submits all uploads beside all computes, few of them before, and sleeps until the next router
// has run, which is part of the tail. No copy starts before all are recorded, and likewise no
// compute. Hits compute in chunks, so that slots which misses of the same group take are free
// early, and those that leave compute first.
// Misses are copied and computed in bundles; an upload into a slot waits for the compute
// that last read it, and its queue then for the link, which all queues share. Where the
// whole bank is resident a step is one submission.
type clock struct {
	*speeds
	bytes int64 // of one expert

	now      float64   // the host
	compute  float64   // when the compute queue has done what it was given
	queue    []float64 // likewise each transfer queue
	link     float64   // when the link is free
	next     int       // transfer queue
	step     int       // the current one, or -1
	read     []float64 // (slots): when the compute that last read a slot ends
	written  []float64 // (slots): when the last upload into a slot ends
	resident bool      // nothing is ever copied again
	further  float64   // the host's, for all layers but one of a step with everything resident
	topK     float64

	ends    []int          // of the chunks of the current plan
	hits    []pager.Access // of it, if their order is not the plan's
	chunkOf []int32        // (slots): mark of the chunk, or of the hit, that uses it
	mark    int32

	speed []kernelSpeed // (universe): of the current group's experts
	last  kernelSpeed   // the one looked up last
	times Times
}

// Times is what passed on the clock, in nanoseconds.
type Times struct {
	Steps     []float64 // (steps) each from its start to its end
	Compute   float64   // the compute queue was at work
	Link      float64   // the link moved bytes at its rate
	Stall     []float64 // (layers) the compute queue waited for an upload
	Read      float64   // the weights that groups needed, at the read ceiling
	Operation float64   // their operations, at the arithmetic ceiling
}

// Total is the time of all steps.
func (t *Times) Total() float64 {
	sum := 0.0
	for _, s := range t.Steps {
		sum += s
	}
	return sum
}

// Stalled is the stall of all layers.
func (t *Times) Stalled() float64 {
	sum := 0.0
	for _, s := range t.Stall {
		sum += s
	}
	return sum
}

func newClock(m *Machine, shape pager.Shape, slots int) (*clock, error) {
	s, err := m.speeds()
	if err != nil {
		return nil, err
	}
	return &clock{
		speeds: s, bytes: m.ExpertBytes, step: -1,
		queue: make([]float64, queuesOf(s.copies)),
		read:  make([]float64, slots), written: make([]float64, slots),
		further: s.host.layer * float64(shape.Layers-1), topK: float64(shape.TopK),
		ends:    make([]int, 0, shape.Experts),
		chunkOf: make([]int32, slots), speed: make([]kernelSpeed, shape.Universe()),
		last:  s.expert(1),
		times: Times{Stall: make([]float64, shape.Layers)},
	}, nil
}

// begin starts a group whose tokens take so many rows together, each expert its own of
// them or, without any, all alike. full tells that the whole bank is resident.
func (c *clock) begin(g pager.Group, all float64, rows []int32, full bool) {
	n := float64(len(g.Experts))
	for i, e := range g.Experts {
		own := all / n
		if rows != nil {
			own = float64(rows[i])
		}
		if own != c.last.rows {
			c.last = c.expert(own)
			c.last.rows = own
		}
		c.speed[e] = c.last
	}
	c.times.Read += n * c.speeds.read
	c.times.Operation += all * c.flop
	if g.Step == c.step {
		return
	}
	c.endStep()
	c.step, c.resident = g.Step, full
	c.times.Steps = append(c.times.Steps, -c.now)
	switch {
	case !full:
		c.turnAround(c.first) // the first router runs alone
	case all > c.topK:
		c.now += c.speeds.step + c.further
	default: // a token is recorded in one go
		c.now += c.speeds.step
	}
}

// endStep closes the step under way: the host learns of its end.
func (c *clock) endStep() {
	if c.step < 0 {
		return
	}
	if c.resident {
		c.turnAround(c.turn)
	}
	c.times.Steps[len(c.times.Steps)-1] += c.now
	c.step = -1
}

// sleep ends the host's turn after a group: it wakes when the next router has run.
func (c *clock) sleep() {
	if !c.resident {
		c.turnAround(c.paged)
	}
}

// turnAround is the host's sleep until the compute queue is done, and its turn.
func (c *clock) turnAround(turn float64) { c.now = max(c.now, c.compute) + turn }

// group runs a plan whose hits come first, and what follows the experts of a layer.
func (c *clock) group(layer int, plan pager.Plan, tail float64) {
	hits := c.cut(plan)
	sent, begun := c.record(hits, len(plan.Accesses)-plan.Hits)
	c.compute = max(c.compute, begun)
	first := 0
	for i, last := range c.ends {
		chunk := plan.Accesses[first:last]
		if i >= hits {
			c.upload(chunk, sent)
		} else if len(c.hits) > 0 {
			chunk = c.hits[first:last]
		}
		c.computeChunk(layer, chunk)
		first = last
	}
	c.compute += tail
	c.times.Compute += tail
}

// cut finds the ends of a plan's chunks: those of hits, which it counts, then of misses.
func (c *clock) cut(plan pager.Plan) (hits int) {
	ends, misses, chunk := c.ends[:0], plan.Accesses[plan.Hits:], 0
	if len(misses) > 0 {
		chunk = c.missChunk(misses)
	}
	leaving := c.orderHits(plan)
	most := max(min(chunk, leaving), len(misses)/8) // in the first chunk
	for done := 0; done < plan.Hits; {
		done += endOfHits(plan.Hits-done, done, leaving, most)
		ends = append(ends, done)
	}
	hits = len(ends)
	for first := plan.Hits; first < len(plan.Accesses); {
		first = c.endOfMisses(plan.Accesses, first, chunk)
		ends = append(ends, first)
	}
	c.ends = ends
	return hits
}

// record lets the host record a plan that was cut: the uploads of misses and all computes,
// beside each other where there are many and they have queues of their own. What an upload takes
// was measured where every queue has a goroutine. It returns when each were submitted. What a
// step with everything resident takes is part of its beginning.
func (c *clock) record(hits, misses int) (uploads, computes float64) {
	if c.resident {
		return c.now, c.now
	}
	n, queues := len(c.ends)-hits, len(c.queue)
	uploads = float64(n)*c.host.upload + float64(misses-n)*c.host.copy
	computes = c.now + float64(len(c.ends))*c.host.compute
	if queues == 0 || n < manyUploads {
		uploads *= float64(max(queues, 1))
		computes += uploads
	}
	uploads += c.now
	c.now = max(uploads, computes)
	return uploads, computes
}

// computeChunk runs accesses as one dispatch, when their uploads are there.
func (c *clock) computeChunk(layer int, accesses []pager.Access) {
	start := c.compute
	for _, a := range accesses {
		start = max(start, c.written[a.Slot])
	}
	c.times.Stall[layer] += start - c.compute
	took := c.dispatch(accesses) + c.op
	c.times.Compute += took
	c.compute = start + took
	for _, a := range accesses {
		c.read[a.Slot] = c.compute
	}
}

// dispatch is the time of one dispatch over accesses.
func (c *clock) dispatch(accesses []pager.Access) float64 {
	together, one := 0.0, 0.0
	for _, a := range accesses {
		k := &c.speed[a.Expert]
		together += k.many
		one = max(one, k.one)
	}
	return max(together, one)
}

// upload copies accesses, which were submitted at a time, on the next transfer queue, or,
// without any, on the compute queue.
func (c *clock) upload(accesses []pager.Access, sent float64) {
	moving := float64(len(accesses)) * c.transfer
	c.times.Link += moving
	if len(c.queue) == 0 {
		c.compute = max(c.compute, c.now) + moving
		for _, a := range accesses {
			c.written[a.Slot] = c.compute
		}
		return
	}
	c.next++
	q := c.next % len(c.queue)
	start := max(c.queue[q], sent)
	for _, a := range accesses {
		start = max(start, c.read[a.Slot], c.written[a.Slot])
	}
	end := max(start+c.copyWait, c.link) + moving
	c.link, c.queue[q] = end, end
	for _, a := range accesses {
		c.written[a.Slot] = end
	}
}

// rewind forgets all uploads so far.
func (c *clock) rewind() {
	clear(c.queue)
	clear(c.written)
	c.now, c.compute, c.link, c.times.Link = 0, 0, 0, 0
}

// Upload starts a batch of prefetches; it makes clock a pager.Uploader. Misses are
// copied when their plan is known.
func (c *clock) Upload(batch []pager.Upload, prefetch bool) error {
	if !prefetch {
		return nil
	}
	accesses := make([]pager.Access, len(batch))
	for i, u := range batch {
		accesses[i] = pager.Access{Expert: u.Expert, Slot: u.Slot}
	}
	c.now += c.host.upload + float64(len(batch)-1)*c.host.copy
	c.upload(accesses, c.now)
	return nil
}

// Uploaded makes clock a pager.Progress.
func (c *clock) Uploaded(s pager.Slot) bool { return c.written[s] <= c.now }

// queuesOf is the number of transfer queues that are used.
func queuesOf(copies hardware.Copies) int {
	switch copies {
	case hardware.ByQueues:
		return 2
	case hardware.ByCores:
		return 1
	}
	return 0
}
