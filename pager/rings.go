package pager

// rings are lists of experts in order, each expert in one of them at most. A list is a
// doubly linked ring through a root of its own, which stands past the universe:
//
//	root ⇄ first ⇄ … ⇄ last ⇄ root
//
// Every call is O(1) and allocates nothing.
type rings struct {
	at       []links // (universe + lists)
	universe uint32
}

type links struct{ next, prev uint32 }

func newRings(shape Shape, lists int) rings {
	r := rings{make([]links, shape.Universe()+lists), uint32(shape.Universe())}
	for k := range lists {
		r.at[r.root(k)] = links{r.root(k), r.root(k)}
	}
	return r
}

func (r *rings) root(list int) uint32 { return r.universe + uint32(list) }

func (r *rings) empty(list int) bool { return r.at[r.root(list)].next == r.root(list) }

// first is the expert at the front of a list that is not empty.
func (r *rings) first(list int) ExpertID { return ExpertID(r.at[r.root(list)].next) }

func (r *rings) append(list int, e ExpertID) {
	root := r.root(list)
	last := r.at[root].prev
	r.at[last].next = uint32(e)
	r.at[e] = links{root, last}
	r.at[root].prev = uint32(e)
}

func (r *rings) unlink(e ExpertID) {
	l := r.at[e]
	r.at[l.prev].next = l.next
	r.at[l.next].prev = l.prev
}

// move takes e out of its list and puts it at the end of another.
func (r *rings) move(list int, e ExpertID) {
	r.unlink(e)
	r.append(list, e)
}

// lists are rings that know which of them an expert is in, and how many each has. List
// 0 stands for none.
type lists struct {
	rings
	of   []uint8 // (universe)
	size []int   // (lists)
}

func newLists(shape Shape, count int) lists {
	return lists{newRings(shape, count), make([]uint8, shape.Universe()), make([]int, count)}
}

// put appends e, which is in no list.
func (l *lists) put(list uint8, e ExpertID) {
	l.append(int(list), e)
	l.of[e] = list
	l.size[list]++
}

// drop takes e out of its list.
func (l *lists) drop(e ExpertID) {
	l.unlink(e)
	l.size[l.of[e]]--
	l.of[e] = 0
}

// ungrouped is part of policies to which groups mean nothing.
type ungrouped struct{}

func (ungrouped) Begin(int, []ExpertID, []ExpertID) {}

func (ungrouped) ignoresGroups() {}

// named is part of policies: the spec that made them.
type named string

func (n named) Name() string { return string(n) }

// emptied panics: Evict was called without a resident.
func (n named) emptied() { panic("pager: " + string(n) + ": evict from an empty pool") }
