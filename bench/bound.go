package bench

import (
	"fmt"

	"ufm/pager"
)

// fewestUploads is what the best policy uploads for each group, with a pool of that
// many slots that was free before the first.
func fewestUploads(shape pager.Shape, slots int, groups []pager.Group) ([]int64, error) {
	belady, err := pager.NewBelady(shape, groups)
	if err != nil {
		return nil, fmt.Errorf("bench: bound: %w", err)
	}
	p, err := pager.New(pager.Options{Shape: shape, Slots: slots, Policy: belady})
	if err != nil {
		return nil, fmt.Errorf("bench: bound: %w", err)
	}
	uploads := make([]int64, len(groups))
	for i, g := range groups {
		plan, err := p.Request(g)
		if err != nil {
			return nil, fmt.Errorf("bench: bound: %w", err)
		}
		uploads[i] = int64(len(plan.Accesses) - plan.Hits)
	}
	return uploads, nil
}
