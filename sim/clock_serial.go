package sim

import (
	"ufm/internal/hardware"
	"ufm/pager"
)

// published runs a plan as the original's pager did: each miss is uploaded on demand and
// the host waits for it, over one queue; compute follows without being waited for. Cores
// compute hits one by one too.
//
//	host      ─[upload 0]─wait─[upload 1]─wait─ ··· ─wait for all─
//	compute             └─[expert 0]    └─[expert 1]
func (c *clock) published(layer int, plan pager.Plan, tail float64) {
	for first := 0; first < len(plan.Accesses); {
		last := first + 1
		if plan.Accesses[first].Hit {
			for c.copies != hardware.ByCores &&
				last < len(plan.Accesses) && plan.Accesses[last].Hit {
				last++
			}
		} else {
			c.now += c.host.upload
			c.wait(layer, plan.Accesses[first].Slot)
		}
		c.now += c.host.compute
		c.compute = max(c.compute, c.now)
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
