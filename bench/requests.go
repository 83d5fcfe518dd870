package bench

import "ufm/pager"

// requests are the groups that a runner executed, from its first step on: what the
// bound is replayed on, and what compute had to read.
type requests struct {
	groups []pager.Group
}

// observe notes one group; it is a pager's observer.
func (r *requests) observe(e *pager.Event) {
	r.groups = append(r.groups, pager.Group{
		Step: e.Step, Layer: e.Layer, Phase: e.Phase, Experts: e.Experts(nil),
	})
}
