package sim

import (
	"fmt"
	"slices"

	"ufm/pager"
)

// compare tells in words the first difference between what a replay did for a group
// and what a log tells, in the order in which it was decided; "" where there is none.
func compare(got, want *pager.Event) string {
	if got.Step != want.Step || got.Layer != want.Layer || got.Phase != want.Phase {
		return fmt.Sprintf("the log tells of step %d, layer %d, %v",
			want.Step, want.Layer, want.Phase)
	}
	if slices.Equal(got.Prefetches, want.Prefetches) &&
		slices.Equal(got.Hits, want.Hits) && slices.Equal(got.Misses, want.Misses) {
		return ""
	}
	if d := comparePrefetches(got.Prefetches, want.Prefetches); d != "" {
		return d
	}
	if d := compareExperts(got.Experts(nil), want.Experts(nil)); d != "" {
		return d
	}
	if d := compareHits(got.Hits, want.Hits); d != "" {
		return d
	}
	return compareMisses(got.Misses, want.Misses)
}

// comparePrefetches expects the same requests on both sides.
func comparePrefetches(got, want []pager.Prefetch) string {
	for i, w := range want {
		if g := got[i]; g != w {
			return fmt.Sprintf("prefetch of expert %d: the replay %s, the log says that it %s",
				w.Expert, prefetchWords(g), prefetchWords(w))
		}
	}
	return ""
}

func compareExperts(got, want []pager.ExpertID) string {
	for _, e := range got {
		if !slices.Contains(want, e) {
			return fmt.Sprintf("expert %d belongs to the group, the log leaves it out", e)
		}
	}
	for i, e := range want {
		if !slices.Contains(got, e) {
			return fmt.Sprintf("expert %d stands in the log, but does not belong to the group", e)
		}
		if i > 0 && e == want[i-1] {
			return fmt.Sprintf("expert %d stands in the log twice", e)
		}
	}
	return ""
}

// compareHits expects the same experts in the two groups.
func compareHits(got, want []pager.ExpertID) string {
	for _, e := range got {
		if !slices.Contains(want, e) {
			return fmt.Sprintf("expert %d is a hit in the replay, a miss in the log", e)
		}
	}
	for _, e := range want {
		if !slices.Contains(got, e) {
			return fmt.Sprintf("expert %d is a miss in the replay, a hit in the log", e)
		}
	}
	if !slices.Equal(got, want) {
		return fmt.Sprintf("the hits are %v in the replay, %v in the log", got, want)
	}
	return ""
}

// compareMisses expects the same experts on both sides.
func compareMisses(got, want []pager.Upload) string {
	for i, g := range got {
		w := want[i]
		switch {
		case g.Expert != w.Expert:
			return fmt.Sprintf("miss %d is expert %d in the replay, expert %d in the log",
				i, g.Expert, w.Expert)
		case g.Slot != w.Slot || g.Evicted != w.Evicted:
			return fmt.Sprintf("miss of expert %d: the replay %s, the log says that it %s",
				g.Expert, uploadWords(g), uploadWords(w))
		}
	}
	return ""
}

func prefetchWords(p pager.Prefetch) string {
	switch {
	case p.Slot < 0:
		return fmt.Sprintf("found no slot before group %d", p.Before)
	case !p.Issued():
		return fmt.Sprintf("found it in slot %d before group %d", p.Slot, p.Before)
	}
	return fmt.Sprintf("%s before group %d", uploadWords(p.Upload), p.Before)
}

func uploadWords(u pager.Upload) string {
	if u.Evicted == pager.NoExpert {
		return fmt.Sprintf("filled free slot %d", u.Slot)
	}
	return fmt.Sprintf("evicted expert %d from slot %d", u.Evicted, u.Slot)
}
