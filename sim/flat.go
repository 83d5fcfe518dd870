package sim

import (
	"fmt"

	"ufm/internal/trace"
	"ufm/pager"
)

// FlatGroups returns every single access of a trace as a group of its own: token by
// token, layer by layer and in top-k order, as general cache simulators count.
func FlatGroups(t *trace.Trace) (pager.Shape, []pager.Group) {
	shape := pager.Shape{Layers: t.Layers, Experts: t.Experts, TopK: t.TopK}
	experts := make([]pager.ExpertID, 0, len(t.Chosen))
	groups := make([]pager.Group, 0, len(t.Chosen))
	token := 0
	for step, size := range t.StepSizes {
		for range size {
			for layer := range t.Layers {
				for _, e := range t.Row(token, layer) {
					if e < 0 {
						continue // not routed in this layer
					}
					experts = append(experts, shape.ID(layer, int(e)))
					groups = append(groups, pager.Group{
						Step: step, Layer: layer, Phase: pager.Phase(t.Phases[step]),
						Experts: experts[len(experts)-1:],
					})
				}
			}
			token++
		}
	}
	return shape, groups
}

// newMin is Belady on single accesses, where it is exact.
func newMin(shape pager.Shape, groups []pager.Group) (pager.Policy, error) {
	for i, g := range groups {
		if len(g.Experts) != 1 {
			return nil, fmt.Errorf("sim: policy min: group %d has %d experts, "+
				"want single accesses (or policy belady)", i, len(g.Experts))
		}
	}
	return pager.NewBelady(shape, groups)
}
