package bench

import (
	"math/rand/v2"
	"testing"

	"ufm/pager"
	"ufm/sim"
)

// The bound by group adds up to the simulator's.
func TestFewestUploads(t *testing.T) {
	shape := pager.Shape{Layers: 3, Experts: 5, TopK: 2}
	rng := rand.New(rand.NewPCG(1, 2))
	var groups []pager.Group
	for step := range 40 {
		for l := range shape.Layers {
			g := pager.Group{Step: step, Layer: l, Phase: pager.Decode}
			for e := range shape.Experts {
				if rng.IntN(2) == 0 || e == 0 {
					g.Experts = append(g.Experts, shape.ID(l, e))
				}
			}
			groups = append(groups, g)
		}
	}
	for _, slots := range []int{1, 4, 9, 15} {
		uploads, err := fewestUploads(shape, slots, groups)
		if err != nil {
			t.Fatal(err)
		}
		for _, from := range []int{0, 30, len(groups)} {
			var got int64
			for _, n := range uploads[from:] {
				got += n
			}
			want, err := sim.BeladyUploads(shape, slots, groups, from)
			if err != nil || got != want {
				t.Errorf("%d slots, from group %d: got %d uploads, want %d (%v)",
					slots, from, got, want, err)
			}
		}
	}
}
