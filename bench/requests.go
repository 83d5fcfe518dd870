package bench

import "ufm/pager"

// requests are the groups that a runner executed, from its first step on: what the
// bound is replayed on, and what compute had to read.
type requests struct {
	groups []pager.Group
	bytes  int64 // about what they take
}

// maxRequestBytes bounds what a long run remembers.
const maxRequestBytes = 512 << 20

// full tells whether no more should be noted.
func (r *requests) full() bool { return r.bytes >= maxRequestBytes }

// observe notes one group; it is a pager's observer.
func (r *requests) observe(e *pager.Event) {
	g := pager.Group{Step: e.Step, Layer: e.Layer, Phase: e.Phase, Experts: e.Experts(nil)}
	r.groups = append(r.groups, g)
	const group, expert = 64, 4
	r.bytes += group + expert*int64(len(g.Experts))
}
