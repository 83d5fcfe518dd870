package tokenizer

import (
	"container/heap"
	"fmt"
	"unicode/utf8"
)

// bpe merges the characters of a word, pair by pair, the earliest learnt merge first
// and the leftmost of equals.
type bpe struct {
	vocab       map[string]int32
	merges      map[pair]merge
	unknown     int32 // for characters that are no tokens, or -1: they are left out
	fuseUnknown bool  // a run of them is one
	fallback    bool  // characters that are no tokens become bytes
	bytes       [256]int32
	wholeFirst  bool // a word that is a token is not merged
}

type pair struct{ left, right int32 }

type merge struct {
	rank int
	id   int32
}

func newBPE(m *model) (*bpe, error) {
	b := &bpe{
		vocab: m.Vocab, merges: make(map[pair]merge, len(m.Merges)), unknown: -1,
		fuseUnknown: m.FuseUnknown, wholeFirst: m.IgnoreMerges,
	}
	if m.Unknown != nil {
		id, ok := m.Vocab[*m.Unknown]
		if !ok {
			return nil, fmt.Errorf("model: unk_token %q is not in the vocab", *m.Unknown)
		}
		b.unknown = id
	}
	b.fallback = m.ByteFallback && b.findBytes() == nil
	if m.ByteFallback && !b.fallback {
		return nil, b.findBytes()
	}
	for rank, raw := range m.Merges {
		left, right, err := mergePair(raw)
		if err != nil {
			return nil, fmt.Errorf("model: merge %d: %w", rank, err)
		}
		if err := b.addMerge(rank, left, right); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func (b *bpe) addMerge(rank int, left, right string) error {
	var ids [3]int32
	for i, token := range []string{left, right, left + right} {
		id, ok := b.vocab[token]
		if !ok {
			return fmt.Errorf("model: merge %d of %q and %q: %q is not in the vocab",
				rank, left, right, token)
		}
		ids[i] = id
	}
	b.merges[pair{ids[0], ids[1]}] = merge{rank, ids[2]}
	return nil
}

// findBytes looks up the tokens that stand for single bytes.
func (b *bpe) findBytes() error {
	for i := range b.bytes {
		token := fmt.Sprintf("<0x%02X>", i)
		id, ok := b.vocab[token]
		if !ok {
			return fmt.Errorf("model: byte_fallback is set, but token %q is missing", token)
		}
		b.bytes[i] = id
	}
	return nil
}

// checkBytes makes sure that a byte-level vocabulary can spell every text.
func (b *bpe) checkBytes(byteLevel bool) error {
	if !byteLevel || b.unknown >= 0 {
		return nil
	}
	for i, r := range byteRunes {
		if _, ok := b.vocab[string(r)]; !ok {
			return fmt.Errorf("model: no token %q for byte 0x%02x", r, i)
		}
	}
	return nil
}

// encode appends the ids of a word.
func (b *bpe) encode(ids []int32, word string) []int32 {
	if word == "" {
		return ids
	}
	if b.wholeFirst {
		if id, ok := b.vocab[word]; ok {
			return append(ids, id)
		}
	}
	begin := len(ids)
	ids = b.characters(ids, word)
	return ids[:begin+b.mergeAll(ids[begin:])]
}

// characters appends the ids of word's characters.
func (b *bpe) characters(ids []int32, word string) []int32 {
	inUnknown := false
	for i := 0; i < len(word); {
		_, size := utf8.DecodeRuneInString(word[i:])
		character := word[i : i+size]
		i += size
		id, ok := b.vocab[character]
		switch {
		case ok:
			ids = append(ids, id)
		case b.fallback:
			for j := range size {
				ids = append(ids, b.bytes[character[j]])
			}
		case b.unknown >= 0 && !(inUnknown && b.fuseUnknown):
			ids = append(ids, b.unknown)
		}
		inUnknown = !ok
	}
	return ids
}

// link is a token of a word while it is merged: a list, from which tokens vanish.
type link struct {
	id         int32 // -1: gone
	prev, next int32
}

// candidate is a pair that might be merged, unless either has changed since.
type candidate struct {
	rank int
	at   int32 // of the left one
	pair pair
}

// candidates is a heap: lowest rank first, then leftmost.
type candidates []candidate

func (c candidates) Len() int { return len(c) }
func (c candidates) Less(i, j int) bool {
	return c[i].rank < c[j].rank || c[i].rank == c[j].rank && c[i].at < c[j].at
}
func (c candidates) Swap(i, j int) { c[i], c[j] = c[j], c[i] }
func (c *candidates) Push(x any)   { *c = append(*c, x.(candidate)) }
func (c *candidates) Pop() any {
	last := len(*c) - 1
	x := (*c)[last]
	*c = (*c)[:last]
	return x
}

// mergeAll merges ids in place and returns how many are left. It takes O(n log n).
func (b *bpe) mergeAll(ids []int32) int {
	links := make([]link, len(ids))
	for i, id := range ids {
		links[i] = link{id, int32(i) - 1, int32(i) + 1}
	}
	var queue candidates
	consider := func(at int32) {
		if at < 0 || int(links[at].next) >= len(links) {
			return
		}
		p := pair{links[at].id, links[links[at].next].id}
		if m, ok := b.merges[p]; ok {
			heap.Push(&queue, candidate{m.rank, at, p})
		}
	}
	for i := range links {
		consider(int32(i))
	}
	for len(queue) > 0 {
		c := heap.Pop(&queue).(candidate)
		left := &links[c.at]
		if left.id != c.pair.left || int(left.next) >= len(links) ||
			links[left.next].id != c.pair.right {
			continue
		}
		right := &links[left.next]
		left.id, right.id, left.next = b.merges[c.pair].id, -1, right.next
		if int(left.next) < len(links) {
			links[left.next].prev = c.at
		}
		consider(left.prev)
		consider(c.at)
	}
	n := 0
	for _, l := range links {
		if l.id >= 0 {
			ids[n] = l.id
			n++
		}
	}
	return n
}
