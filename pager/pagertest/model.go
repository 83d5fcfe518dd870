package pagertest

import (
	"slices"

	"ufm/pager"
)

// model is the pager's rules as plainly as they can be told. It is slow.
type model struct {
	policy pager.Policy
	order  pager.Order
	slots  []pager.ExpertID // NoExpert: free
}

func newModel(policy pager.Policy, order pager.Order, slots int) *model {
	return &model{policy, order, slices.Repeat([]pager.ExpertID{pager.NoExpert}, slots)}
}

func (m *model) resident(e pager.ExpertID) bool { return slices.Contains(m.slots, e) }

// request returns the group in execution order.
func (m *model) request(g pager.Group) []pager.Access {
	var hits, misses []pager.ExpertID
	for _, e := range g.Experts {
		if m.resident(e) {
			hits = append(hits, e)
		} else {
			misses = append(misses, e)
		}
	}
	m.policy.Begin(g.Layer, hits, misses)
	order := slices.Concat(hits, misses)
	if m.order == pager.Ascending {
		order = g.Experts
	}
	var plan []pager.Access
	for _, e := range order {
		plan = append(plan, m.access(e))
	}
	return plan
}

func (m *model) access(e pager.ExpertID) pager.Access {
	if m.resident(e) {
		m.policy.Touch(e)
		at := pager.Slot(slices.Index(m.slots, e))
		return pager.Access{Expert: e, Slot: at, Hit: true, Evicted: pager.NoExpert}
	}
	old := pager.NoExpert
	if !slices.Contains(m.slots, pager.NoExpert) {
		if x, ok := m.policy.(pager.Expecter); ok {
			x.Expect(e)
		}
		old = m.policy.Evict()
	}
	at := slices.Index(m.slots, old)
	m.slots[at] = e
	m.policy.Insert(e, false)
	return pager.Access{Expert: e, Slot: pager.Slot(at), Evicted: old}
}
