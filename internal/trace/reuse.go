package trace

// reuse measures reuse distances: how many other experts were used between two uses of
// the same one. LRU with more slots than that has it still.
//
// Each expert stands at the time of its last use in a Fenwick tree that counts marks;
// the marks after an expert's own are the experts used since. Times are renumbered when
// they run out, so that memory is bounded by the number of experts. A use costs
// O(log experts).
//
//	time   0 1 2 3 4 5 6 7        last use of a at 1: three marks after it,
//	mark     a   c   b d          so using a now has a distance of 3
type reuse struct {
	last []int32 // (experts): 1 + the time of the last use; 0: none
	at   []int32 // (times): 1 + the expert that was last used then; 0: none
	tree []int32 // (times + 1): Fenwick tree over at's marks
	now  int
	used int // marks
}

func newReuse(experts int) *reuse {
	times := 2*experts + 1
	return &reuse{
		last: make([]int32, experts),
		at:   make([]int32, times),
		tree: make([]int32, times+1),
	}
}

// use notes a use of the expert and returns its distance, or -1 if it is the first.
func (r *reuse) use(expert int) int {
	if r.now == len(r.at) {
		r.renumber()
	}
	distance := -1
	if t := int(r.last[expert]); t > 0 {
		distance = r.used - r.count(t)
		r.mark(t-1, -1)
		r.at[t-1] = 0
		r.used--
	}
	r.mark(r.now, 1)
	r.at[r.now] = int32(expert) + 1
	r.now++
	r.used++
	r.last[expert] = int32(r.now)
	return distance
}

// mark adds to the marks at a time.
func (r *reuse) mark(time int, n int32) {
	for i := time + 1; i < len(r.tree); i += i & -i {
		r.tree[i] += n
	}
}

// count is the number of marks before a time.
func (r *reuse) count(time int) int {
	n := int32(0)
	for i := time; i > 0; i -= i & -i {
		n += r.tree[i]
	}
	return int(n)
}

// renumber gives the marks the first times, in their order.
func (r *reuse) renumber() {
	now := 0
	for _, e := range r.at {
		if e > 0 {
			r.at[now] = e
			now++
			r.last[e-1] = int32(now)
		}
	}
	clear(r.at[now:])
	clear(r.tree)
	for t := range now {
		r.mark(t, 1)
	}
	r.now = now
}
