package sim

import (
	"math"

	"ufm/pager"
)

// This file cuts a plan into pieces as the Vulkan backend's scheduler does; a test of
// that backend holds the two together.

const (
	chunkBytes = 32 << 20 // misses are bundled up to this size,
	manyChunks = 8        // and from so many bundles on up to twice that

	manyUploads = 5  // from so many on they are recorded beside computes
	maxChunks   = 64 // a group is not cut into more bundles
)

// missChunk is the number of misses that are uploaded and computed together: where slots come
// up again, no more than a quarter of those.
func (c *clock) missChunk(misses []pager.Access) int {
	bundle := bundleOf(chunkBytes, c.bytes)
	if twice := bundleOf(2*chunkBytes, c.bytes); len(misses) >= manyChunks/2*twice {
		bundle = twice
	}
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

// bundleOf is the number of experts that are copied together where nothing else matters.
func bundleOf(bytes, expertBytes int64) int { return max(1, int(bytes/max(expertBytes, 1))) }

// endOfHits is how many of the rest of the hits are the next chunk: so many first, then three
// times as many as all before, and those that stay together.
func endOfHits(rest, done, leaving, first int) int {
	if leaving <= done {
		return rest
	}
	return min(max(first, 3*done), rest)
}

// orderHits counts the hits whose slots misses take, and puts these first, in the order in which
// they leave.
func (c *clock) orderHits(plan pager.Plan) (leaving int) {
	c.hits = c.hits[:0]
	if plan.Hits == len(plan.Accesses) || !evictsMember(plan) {
		return 0
	}
	hits, misses := plan.Accesses[:plan.Hits], plan.Accesses[plan.Hits:]
	if c.mark > math.MaxInt32/2 {
		c.mark = 0
		clear(c.chunkOf)
	}
	before := c.mark
	for i, h := range hits {
		c.chunkOf[h.Slot] = before + int32(1+i)
	}
	c.mark += int32(len(hits))
	for _, m := range misses {
		if i := c.chunkOf[m.Slot] - before; i > 0 {
			c.hits = append(c.hits, hits[i-1])
			c.chunkOf[m.Slot] = 0
		}
	}
	leaving = len(c.hits)
	for _, h := range hits {
		if c.chunkOf[h.Slot] > before {
			c.hits = append(c.hits, h)
		}
	}
	return leaving
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
