package sim_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"ufm/pager"
	"ufm/sim"
)

// replayMisses is what lru misses with each pool from 0 slots to the universe.
func replayMisses(
	t *testing.T, shape pager.Shape, groups []pager.Group, order pager.Order,
) []int64 {
	t.Helper()
	misses := make([]int64, shape.Universe()+1)
	for _, g := range groups {
		misses[0] += int64(len(g.Experts))
	}
	for slots := 1; slots <= shape.Universe(); slots++ {
		r, err := sim.Replay(shape, groups,
			sim.Options{Policy: "lru", Slots: slots, Order: order})
		if err != nil {
			t.Fatal(err)
		}
		misses[slots] = r.Stats.Misses
	}
	return misses
}

func checkCurve(t *testing.T, shape pager.Shape, groups []pager.Group, order pager.Order) {
	t.Helper()
	got, err := sim.LRUCurve(shape, groups)
	if err != nil {
		t.Fatal(err)
	}
	for c, want := range replayMisses(t, shape, groups, order) {
		if got[c] != want {
			t.Fatalf("%+v, %d slots: got %d misses, a replay has %d", shape, c, got[c], want)
		}
	}
}

func TestLRUCurveEqualsReplay(t *testing.T) {
	t.Parallel()
	checkTrace := small()
	shape, groups := sim.FlatGroups(checkTrace)
	checkCurve(t, shape, groups, pager.ResidentFirst)
	shape, groups = sim.Groups(checkTrace)
	checkCurve(t, shape, groups, pager.Ascending)

	// Long enough for time to run out again and again.
	rng := rand.New(rand.NewPCG(1, 0))
	for _, shape := range []pager.Shape{
		{Layers: 1, Experts: 1}, {Layers: 1, Experts: 2}, {Layers: 3, Experts: 7},
		{Layers: 5, Experts: 30},
	} {
		var single, grouped []pager.Group
		for i := range 2000 {
			layer := i % shape.Layers
			var g pager.Group
			for index := range shape.Experts {
				if rng.IntN(shape.Experts) <= index*index/shape.Experts/8 || index == i%shape.Experts {
					g.Experts = append(g.Experts, shape.ID(layer, index))
				}
			}
			g.Layer = layer
			grouped = append(grouped, g)
			g.Experts = g.Experts[rng.IntN(len(g.Experts)):][:1]
			single = append(single, g)
		}
		checkCurve(t, shape, single, pager.ResidentFirst)
		checkCurve(t, shape, grouped[:400], pager.Ascending)
	}
}

// A universe whose time axis needs three levels of blocks, at some sizes.
func TestLRUCurveOfLargeUniverse(t *testing.T) {
	t.Parallel()
	shape := pager.Shape{Layers: 10, Experts: 900}
	rng := rand.New(rand.NewPCG(2, 0))
	var groups []pager.Group
	for range 60000 {
		u := rng.Float64()
		e := pager.ExpertID(u * u * float64(shape.Universe()))
		groups = append(groups, pager.Group{Layer: shape.Layer(e), Experts: []pager.ExpertID{e}})
	}
	curve, err := sim.LRUCurve(shape, groups)
	if err != nil {
		t.Fatal(err)
	}
	for _, slots := range []int{1, 17, 900, 4096, 8999} {
		r, err := sim.Replay(shape, groups, sim.Options{Policy: "arraylru", Slots: slots})
		if err != nil {
			t.Fatal(err)
		}
		if curve[slots] != r.Stats.Misses {
			t.Errorf("%d slots: got %d misses, a replay has %d", slots, curve[slots], r.Stats.Misses)
		}
	}
}

func TestLRUCurveErrors(t *testing.T) {
	shape := pager.Shape{Layers: 2, Experts: 4}
	_, err := sim.LRUCurve(shape, []pager.Group{{Experts: []pager.ExpertID{8}}})
	if err == nil || !strings.Contains(err.Error(), "group 0: expert 8 of 8") {
		t.Errorf("expert outside of the model: got error %v", err)
	}
	if _, err := sim.LRUCurve(pager.Shape{}, nil); err == nil {
		t.Error("no experts: got no error")
	}
}

func BenchmarkLRUCurve(b *testing.B) {
	shape, groups := sim.FlatGroups(load(b, tiny))
	accesses, rate := int64(0), startRate()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := sim.LRUCurve(shape, groups); err != nil {
			b.Fatal(err)
		}
		accesses += int64(len(groups))
	}
	rate.report(b, accesses)
}
