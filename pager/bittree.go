package pager

import "math/bits"

// bitTree is a set of small integers that finds its largest member in O(log₆₄ n).
// A bit of levels[i+1] tells whether a word of levels[i] has any bit set.
type bitTree struct {
	levels [][]uint64
}

func newBitTree(n int) bitTree {
	var t bitTree
	for {
		n = (n + 63) / 64
		t.levels = append(t.levels, make([]uint64, n))
		if n <= 1 {
			return t
		}
	}
}

func (t bitTree) set(i int) {
	for _, level := range t.levels {
		word := &level[uint(i)/64]
		known := *word != 0
		if *word |= 1 << (uint(i) % 64); known {
			return
		}
		i = int(uint(i) / 64)
	}
}

func (t bitTree) clear(i int) {
	for _, level := range t.levels {
		word := &level[uint(i)/64]
		if *word &^= 1 << (uint(i) % 64); *word != 0 {
			return
		}
		i = int(uint(i) / 64)
	}
}

func (t bitTree) empty() bool { return t.levels[len(t.levels)-1][0] == 0 }

// last is the largest member of a set that is not empty.
func (t bitTree) last() int {
	i := 0
	for k := len(t.levels) - 1; k >= 0; k-- {
		word := t.levels[k][i]
		if word == 0 {
			panic("pager: belady: evict from an empty pool")
		}
		i = i*64 + 63 - bits.LeadingZeros64(word)
	}
	return i
}
