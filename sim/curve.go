package sim

import (
	"fmt"
	"math/bits"

	"ufm/pager"
)

// LRUCurve is the number of misses that lru makes with pools of every size, found in one
// pass: element c is for c slots, from 0 to the whole universe.
//
// It takes the experts of the groups one by one, in the order in which they stand. So
// it equals a replay of lru on single accesses (FlatGroups), and one of whole groups in
// the order pager.Ascending, at every size. In the order pager.ResidentFirst it has no
// such curve: which members come first depends on the size.
//
// An access hits in all pools with more slots than there were other experts used since
// the last use of its own (Mattson, Gecsei, Slutz and Traiger, IBM Systems Journal
// 1970). O(log universe) per access.
func LRUCurve(shape pager.Shape, groups []pager.Group) ([]int64, error) {
	if err := validate(shape); err != nil {
		return nil, err
	}
	s := newRecency(shape.Universe())
	misses := make([]int64, shape.Universe()+1)
	for i := range groups {
		for _, e := range groups[i].Experts {
			if int(e) >= shape.Universe() {
				return nil, fmt.Errorf("sim: group %d: expert %d of %d", i, e, shape.Universe())
			}
			misses[s.use(e)]++
		}
	}
	// So far element d counts accesses that miss in pools of up to d slots.
	for c := len(misses) - 2; c >= 0; c-- {
		misses[c] += misses[c+1]
	}
	return misses, nil
}

// validate refuses what no pager could be made for.
func validate(shape pager.Shape) error {
	_, err := pager.New(pager.Options{Shape: shape, Slots: 1})
	return err
}

// recency tells how many experts were used since the last use of one. Each expert has a
// bit at the time of its last use; counts of bits in ever larger blocks make it quick to
// count those after a given time. When time runs out, the bits move together.
//
//	time    0                                         now
//	words   ..1...1. .1...... ..11..1. ........ .1.1..
//	blocks  6                                   …            of 16 words, of 256, …
type recency struct {
	words  []uint64  // (times / 64)
	blocks [][]int32 // (levels, blocks): how many bits are set in each
	last   []int32   // (universe): time of the last use, or -1
	user   []int32   // (times): expert that was used then
	now    int
}

const (
	blockBits = 4 // a block has 2^blockBits of the level below
	blockLast = 1<<blockBits - 1
)

func newRecency(universe int) *recency {
	words := (4*universe + 63) / 64
	r := &recency{
		words: make([]uint64, (words+blockLast)&^blockLast),
		last:  make([]int32, universe),
		user:  make([]int32, 64*words),
	}
	for n := len(r.words) >> blockBits; ; n = (n + blockLast) >> blockBits {
		r.blocks = append(r.blocks, make([]int32, (n+blockLast)&^blockLast))
		if n <= blockLast+1 {
			break
		}
	}
	for e := range r.last {
		r.last[e] = -1
	}
	return r
}

// use makes e the newest and returns how many others were newer than it, or the size of
// the universe if it was never used.
func (r *recency) use(e pager.ExpertID) int {
	if r.now == len(r.user) {
		r.compact()
	}
	newer := len(r.last)
	if before := int(r.last[e]); before >= 0 {
		newer = r.after(before)
		r.words[before>>6] &^= 1 << (before & 63)
		r.count(before, -1)
	}
	r.put(e, r.now)
	r.now++
	return newer
}

func (r *recency) put(e pager.ExpertID, time int) {
	r.last[e], r.user[time] = int32(time), int32(e)
	r.words[time>>6] |= 1 << (time & 63)
	r.count(time, 1)
}

// after counts the bits after time.
func (r *recency) after(time int) int {
	i := time >> 6
	n := bits.OnesCount64(r.words[i] >> (time & 63) >> 1)
	for _, word := range r.words[i+1 : i|blockLast+1] {
		n += bits.OnesCount64(word)
	}
	for _, level := range r.blocks {
		i >>= blockBits
		for _, count := range level[i+1 : i|blockLast+1] {
			n += int(count)
		}
	}
	return n
}

// count adds to all blocks that hold time.
func (r *recency) count(time int, by int32) {
	i := time >> 6
	for _, level := range r.blocks {
		i >>= blockBits
		level[i] += by
	}
}

// compact moves the bits to the lowest times, in their order.
func (r *recency) compact() {
	clear(r.words)
	for _, level := range r.blocks {
		clear(level)
	}
	r.now = 0
	for time, e := range r.user {
		if int(r.last[e]) == time {
			r.put(pager.ExpertID(e), r.now)
			r.now++
		}
	}
}
