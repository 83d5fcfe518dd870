package bench

import "ufm/pager"

// requests are the groups that a runner executed, from its first step on: what the
// bound is replayed on, and what compute had to read.
type requests struct {
	groups   []pager.Group
	accesses int // experts of all groups
}

// maxAccesses bounds what a long run remembers: some hundred megabytes. A variable only
// for tests.
var maxAccesses = 1 << 26

// observe notes one group; it is a pager's observer.
func (r *requests) observe(e *pager.Event) {
	g := pager.Group{Step: e.Step, Layer: e.Layer, Phase: e.Phase, Experts: e.Experts(nil)}
	r.groups = append(r.groups, g)
	r.accesses += len(g.Experts)
}
