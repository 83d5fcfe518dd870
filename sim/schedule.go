package sim

import "ufm/pager"

// This file cuts a plan into pieces as the Vulkan backend's scheduler does; a test of
// that backend holds the two together.

const (
	chunkBytes = 32 << 20 // misses are bundled up to this size
	maxChunks  = 64       // a group is not cut into more bundles
)

// missChunk is the number of misses that are uploaded and computed together: where slots come
// up again, no more than a quarter of those.
func (c *clock) missChunk(misses []pager.Access) int {
	bundle := bundleOf(c.bytes)
	if bundle > 1 {
		c.mark++
		through := 0
		for _, a := range misses {
			if c.chunkOf[a.Slot] != c.mark {
				c.chunkOf[a.Slot] = c.mark
				through++
			}
		}
		if through < len(misses) {
			bundle = min(bundle, through/4)
		}
	}
	return max(1, bundle, (len(misses)+maxChunks-1)/maxChunks)
}

// bundleOf is the number of experts of a size that are copied together where nothing else
// matters.
func bundleOf(expertBytes int64) int { return max(1, int(chunkBytes/max(expertBytes, 1))) }

// endOfHits ends a chunk of hits: an eighth of the misses first, then doubling, where a
// miss takes the slot of a hit; else all of them are one.
func endOfHits(plan pager.Plan, first int) int {
	misses := len(plan.Accesses) - plan.Hits
	if misses == 0 || !evictsMember(plan) {
		return plan.Hits
	}
	return min(first+max(1, misses/8, first), plan.Hits)
}

// evictsMember reports whether a miss takes the slot of one of the plan's hits, which
// ascend.
func evictsMember(plan pager.Plan) bool {
	hits := plan.Accesses[:plan.Hits]
	if len(hits) == 0 {
		return false
	}
	low, high := hits[0].Expert, hits[len(hits)-1].Expert
	for _, m := range plan.Accesses[plan.Hits:] {
		if m.Evicted < low || m.Evicted > high {
			continue
		}
		lo, hi := 0, len(hits)
		for lo < hi {
			mid := (lo + hi) / 2
			if hits[mid].Expert < m.Evicted {
				lo = mid + 1
			} else {
				hi = mid
			}
		}
		if hits[lo].Expert == m.Evicted {
			return true
		}
	}
	return false
}

// endOfMisses ends a bundle before a slot comes up twice in it.
func (c *clock) endOfMisses(accesses []pager.Access, first, chunk int) int {
	last := min(first+chunk, len(accesses))
	if last-first < 2 {
		return last
	}
	c.mark++
	for i := first; i < last; i++ {
		slot := accesses[i].Slot
		if c.chunkOf[slot] == c.mark {
			return i
		}
		c.chunkOf[slot] = c.mark
	}
	return last
}
