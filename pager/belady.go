package pager

import "fmt"

// belady evicts the resident whose next use is farthest ahead. It knows all groups
// beforehand, so it is a bound, not a policy for a running model.
//
// On groups of one expert no policy misses less often. On larger ones the last miss of
// a group has to stay until the next miss, and which one that is depends on what was
// resident; looking one use ahead can then lose a miss to the true optimum where the
// pool is hardly larger than a group (0.2 to 0.4 % of the misses of tiny models that
// were searched exhaustively).
//
// Residents wait in buckets by the group that uses them next, each bucket in touch
// order; those that are never used again share the last one. A bitmap tree finds the
// last bucket that is not empty: O(log₆₄ groups) per access.
type belady struct {
	uses   []int32 // groups that use each expert, ascending, expert after expert
	cursor []int32 // (universe): index in uses of the next use
	ends   []int32 // (universe): end of the expert's part of uses
	group  int32   // number of the current group; -1 before the first

	head, tail []int32 // (groups + 1): of each bucket, or none
	next, prev []int32 // (universe): in the resident's bucket, or none
	bucket     []int32 // (universe): of a resident
	filled     bitTree // buckets that are not empty
}

const none = int32(-1)

// NewBelady makes the exact policy for a pager that is asked for exactly groups. Any
// other request makes it panic. Ties go to the oldest touch; a prefetch counts as one.
func NewBelady(shape Shape, groups []Group) (Policy, error) {
	if err := shape.validate(); err != nil {
		return nil, err
	}
	n := shape.Universe()
	b := &belady{
		cursor: make([]int32, n), ends: make([]int32, n), group: -1,
		head: make([]int32, len(groups)+1), tail: make([]int32, len(groups)+1),
		next: make([]int32, n), prev: make([]int32, n), bucket: make([]int32, n),
		filled: newBitTree(len(groups) + 1),
	}
	fill(b.head, none)
	fill(b.tail, none)
	if err := b.index(groups); err != nil {
		return nil, err
	}
	return b, nil
}

// index lists the groups that use each expert.
func (b *belady) index(groups []Group) error {
	total := 0
	for i := range groups {
		for _, e := range groups[i].Experts {
			if int(e) >= len(b.ends) {
				return fmt.Errorf("pager: belady: group %d: expert %d of %d", i, e, len(b.ends))
			}
			b.ends[e]++
			total++
		}
	}
	if total > 1<<31-1 {
		return fmt.Errorf("pager: belady: %d accesses are more than %d", total, 1<<31-1)
	}
	b.uses = make([]int32, total)
	start := int32(0)
	for e, count := range b.ends {
		b.cursor[e], b.ends[e] = start, start
		start += count
	}
	for i := range groups {
		for _, e := range groups[i].Experts {
			b.uses[b.ends[e]] = int32(i)
			b.ends[e]++
		}
	}
	return nil
}

func (*belady) Name() string { return "belady" }

func (b *belady) Begin(int, []ExpertID, []ExpertID) { b.group++ }

func (b *belady) Touch(e ExpertID) {
	b.remove(e)
	b.use(e)
	b.add(e)
}

func (b *belady) Insert(e ExpertID, prefetch bool) {
	if !prefetch {
		b.use(e)
	}
	b.add(e)
}

func (b *belady) Evict() ExpertID {
	e := b.head[b.filled.last()]
	b.remove(ExpertID(e))
	return ExpertID(e)
}

// use moves e's cursor past the current group.
func (b *belady) use(e ExpertID) {
	c := b.cursor[e]
	if c == b.ends[e] || b.uses[c] != b.group {
		panic(fmt.Sprintf("pager: belady: group %d uses expert %d, which was not foretold",
			b.group, e))
	}
	b.cursor[e]++
}

// add puts e at the end of the bucket of its next use.
func (b *belady) add(e ExpertID) {
	k := int32(len(b.head) - 1)
	if c := b.cursor[e]; c < b.ends[e] {
		k = b.uses[c]
	}
	last := b.tail[k]
	b.bucket[e], b.prev[e], b.next[e] = k, last, none
	b.tail[k] = int32(e)
	if last == none {
		b.head[k] = int32(e)
		b.filled.set(int(k))
	} else {
		b.next[last] = int32(e)
	}
}

func (b *belady) remove(e ExpertID) {
	k, before, after := b.bucket[e], b.prev[e], b.next[e]
	if before == none {
		b.head[k] = after
	} else {
		b.next[before] = after
	}
	if after == none {
		b.tail[k] = before
	} else {
		b.prev[after] = before
	}
	if b.head[k] == none {
		b.filled.clear(int(k))
	}
}
