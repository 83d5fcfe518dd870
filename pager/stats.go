package pager

// Sub is what happened after the snapshot earlier was taken: s minus earlier.
func (s Stats) Sub(earlier Stats) Stats {
	return Stats{
		Groups:         s.Groups - earlier.Groups,
		Accesses:       s.Accesses - earlier.Accesses,
		Hits:           s.Hits - earlier.Hits,
		LateHits:       s.LateHits - earlier.LateHits,
		Misses:         s.Misses - earlier.Misses,
		Uploads:        s.Uploads - earlier.Uploads,
		Evictions:      s.Evictions - earlier.Evictions,
		Prefetches:     s.Prefetches - earlier.Prefetches,
		PrefetchUsed:   s.PrefetchUsed - earlier.PrefetchUsed,
		PrefetchWasted: s.PrefetchWasted - earlier.PrefetchWasted,
	}
}
