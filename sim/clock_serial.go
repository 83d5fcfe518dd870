package sim

import (
	"ufm/internal/hardware"
	"ufm/pager"
)

// published runs a plan as the original's pager did: each miss is uploaded on demand and
// the host waits for it, over one queue; compute follows without being waited for.
//
//	host      ─[upload 0]─wait─[upload 1]─wait─ ··· ─wait for all─
//	compute             └─[expert 0]    └─[expert 1]
func (c *clock) published(layer int, plan pager.Plan, tail float64) {
	c.compute = max(c.compute, c.now)
	for first := 0; first < len(plan.Accesses); {
		last := first + 1
		if plan.Accesses[first].Hit {
			for last < len(plan.Accesses) && plan.Accesses[last].Hit {
				last++
			}
		} else {
			c.wait(layer, plan.Accesses[first].Slot)
		}
		c.computeChunk(layer, plan.Accesses[first:last])
		first = last
	}
	c.compute += tail
	c.times.Compute += tail
}

// wait uploads into a slot and waits for it.
func (c *clock) wait(layer int, s pager.Slot) {
	start := max(c.now, c.read[s])
	if c.copies != hardware.ByQueues { // what copies also computes
		start = max(start, c.compute)
	}
	end := start + c.copyWait + c.single + c.turn
	c.times.Link += c.transfer
	if idle := max(c.compute, c.now); end > idle {
		c.times.Stall[layer] += end - idle
		c.compute = end
	}
	c.now, c.written[s] = end, end
}

// shared runs a plan where a thread copies while the cores compute, as the CPU backend
// does. Each of the two slows the other down: so many threads and one more share the
// cores.
func (c *clock) shared(layer int, plan pager.Plan, tail float64) {
	c.compute = max(c.compute, c.now)
	both := c.cores / (c.cores + 1) // speed of either while both are at work
	accesses := plan.Accesses
	misses := len(accesses) - plan.Hits
	copied, done := 0, 0                     // misses, accesses
	var copying, computing, batch float64    // what is left of each, experts of the batch
	for i, a := range accesses[:plan.Hits] { // slots that this group has used so far
		c.chunkOf[a.Slot] = int32(i + 1)
	}
	for done < len(accesses) {
		if computing == 0 {
			n := 0
			for n < int(4*c.cores) && done+n < min(len(accesses), plan.Hits+copied) {
				n++
			}
			batch, computing = float64(n), max(c.one, float64(n)*c.many)*min(1, float64(n))
		}
		if copying == 0 && copied < misses {
			s := accesses[plan.Hits+copied].Slot
			if int(c.chunkOf[s]) <= done {
				copying = c.transfer
			}
		}
		speed := 1.0
		if computing > 0 && copying > 0 {
			speed = both
		}
		step := computing
		if step == 0 || copying > 0 && copying < step {
			step = copying
		}
		c.compute += step / speed
		if computing == 0 {
			c.times.Stall[layer] += step / speed
		} else if computing -= step; computing <= 0 {
			computing, done = 0, done+int(batch)
		}
		if copying > 0 {
			if copying -= step; copying <= 0 {
				copying = 0
				c.chunkOf[accesses[plan.Hits+copied].Slot] = int32(plan.Hits + copied + 1)
				copied++
			}
		}
	}
	for _, a := range accesses {
		c.chunkOf[a.Slot] = 0
		c.written[a.Slot] = c.compute
	}
	c.times.Link += float64(misses) * c.transfer
	c.times.Compute += float64(len(accesses))*c.many + tail
	c.compute += tail
}
