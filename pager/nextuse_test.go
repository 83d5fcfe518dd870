package pager_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"ufm/pager"
)

// sweep requests every expert of every layer, step after step, and returns the hits a
// step after the first steps, in which the policy learns.
func sweep(t *testing.T, spec string, shape pager.Shape, slots int) float64 {
	t.Helper()
	p, err := pager.New(pager.Options{
		Shape: shape, Slots: slots, Policy: newPolicy(t, spec, shape, slots),
	})
	if err != nil {
		t.Fatal(err)
	}
	const learning, counted = 8, 20
	all := make([]pager.ExpertID, shape.Experts)
	var before pager.Stats
	for step := range learning + counted {
		if step == learning {
			before = p.Stats()
		}
		for layer := range shape.Layers {
			for e := range all {
				all[e] = shape.ID(layer, e)
			}
			if _, err := p.Request(pager.Group{Step: step, Layer: layer, Experts: all}); err != nil {
				t.Fatal(err)
			}
		}
	}
	return float64(p.Stats().Sub(before).Hits) / counted
}

func TestNextUseIsOptimalOnSweeps(t *testing.T) {
	for _, layers := range []int{1, 2, 3, 12} {
		shape := pager.Shape{Layers: layers, Experts: 16, TopK: 2}
		bank := shape.Universe()
		for _, slots := range []int{3, bank / 10, bank / 3, bank / 2, bank * 2 / 3, bank - 1, bank} {
			t.Run(fmt.Sprintf("layers=%d/slots=%d", layers, slots), func(t *testing.T) {
				got := sweep(t, "nextuse", shape, slots)
				if want := float64(slots - 2); got < want {
					t.Errorf("got %.1f hits a step, want at least %.0f", got, want)
				}
				if lru := sweep(t, "lru", shape, slots); layers > 1 && slots <= bank/2 && lru != 0 {
					t.Errorf("lru: got %.1f hits a step, want 0: the sweep is no sweep", lru)
				}
			})
		}
	}
}

// The sweep of the published kind: 12 layers of 64 experts, a bank of 1.5 times the pool.
func TestNextUseOnLargeSweep(t *testing.T) {
	shape := pager.Shape{Layers: 12, Experts: 64, TopK: 2}
	slots := shape.Universe() * 2 / 3
	if got, want := sweep(t, "nextuse", shape, slots), float64(slots-2); got < want {
		t.Errorf("got %.1f hits a step, want at least %.0f", got, want)
	}
}

// On a sweep each layer has its share of the misses, whose uploads then run beside the compute
// of all layers, whatever the first step left.
func TestNextUseSharesMisses(t *testing.T) {
	shape := pager.Shape{Layers: 12, Experts: 64, TopK: 2}
	slots := shape.Universe() * 2 / 3
	p, err := pager.New(pager.Options{Shape: shape, Slots: slots})
	if err != nil {
		t.Fatal(err)
	}
	all := make([]pager.ExpertID, shape.Experts)
	for step := range 12 {
		for layer := range shape.Layers {
			for e := range all {
				all[e] = shape.ID(layer, e)
			}
			plan, err := p.Request(pager.Group{Step: step, Layer: layer, Experts: all})
			if err != nil {
				t.Fatal(err)
			}
			misses, share := len(plan.Accesses)-plan.Hits, (shape.Universe()-slots)/shape.Layers
			if step >= 4 && (misses < share-4 || misses > share+4) {
				t.Errorf("step %d, layer %d: got %d misses, want about %d", step, layer, misses, share)
			}
		}
	}
}

// Many layers in a small pool: what stays of large groups costs no more than four hits.
func TestNextUseOnManyLayers(t *testing.T) {
	for _, c := range []struct{ layers, experts, slots int }{
		{48, 128, 48}, {48, 128, 100}, {100, 8, 64},
	} {
		shape := pager.Shape{Layers: c.layers, Experts: c.experts, TopK: 2}
		if got := sweep(t, "nextuse", shape, c.slots); got < float64(c.slots-4) {
			t.Errorf("%d layers of %d, %d slots: got %.1f hits a step", c.layers, c.experts, c.slots, got)
		}
	}
}

// A few experts are used at every step, the others in turn: the first must stay.
func TestNextUseKeepsTheFrequent(t *testing.T) {
	shape := pager.Shape{Layers: 3, Experts: 32, TopK: 2}
	p, err := pager.New(pager.Options{Shape: shape, Slots: 8})
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Policy().Name(); got != pager.DefaultPolicy {
		t.Fatalf("default policy: got %s, want %s", got, pager.DefaultPolicy)
	}
	missed := 0
	for step := range 200 {
		for layer := range shape.Layers {
			plan, err := p.Request(pager.Group{Step: step, Layer: layer, Experts: []pager.ExpertID{
				shape.ID(layer, 0), shape.ID(layer, 1+step%31),
			}})
			if err != nil {
				t.Fatal(err)
			}
			if step >= 20 && plan.Hits == 0 {
				missed++
			}
		}
	}
	if missed > 0 {
		t.Errorf("the frequent expert was missed %d times, want 0", missed)
	}
}

// Layers need not come in turn: a request may skip some, or stay.
func TestNextUseSurvivesSkippedLayers(t *testing.T) {
	shape := pager.Shape{Layers: 4, Experts: 4}
	p, err := pager.New(pager.Options{Shape: shape, Slots: 3})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		layer := i * i % 4
		experts := []pager.ExpertID{shape.ID(layer, i%4)}
		if _, err := p.Request(pager.Group{Layer: layer, Experts: experts}); err != nil {
			t.Fatal(err)
		}
	}
	if s := p.Stats(); s.Hits+s.Misses != 200 {
		t.Errorf("hits %d + misses %d, want 200", s.Hits, s.Misses)
	}
}

// Where routing is uniform and independent, every policy that does not know the future
// misses the same share of a group on average, 1 − slots/experts, and belady less.
func TestNextUseOnUniformRouting(t *testing.T) {
	shape := pager.Shape{Layers: 1, Experts: 384, TopK: 2}
	const slots, steps, tokens = 256, 60, 512
	rng := rand.New(rand.NewPCG(1, 0))
	s := scenario{shape: shape, slots: slots}
	expected := 0.
	for step := range steps {
		used := make([]bool, shape.Experts)
		for range tokens * shape.TopK {
			used[rng.IntN(shape.Experts)] = true
		}
		g := pager.Group{Step: step}
		for e, is := range used {
			if is {
				g.Experts = append(g.Experts, shape.ID(0, e))
			}
		}
		s.groups = append(s.groups, g)
		if step == 0 {
			expected += float64(len(g.Experts)) // the pool is empty
		} else {
			expected += float64(len(g.Experts)) * (1 - float64(slots)/float64(shape.Experts))
		}
	}
	got := s.run(t, newPolicy(t, "nextuse", shape, slots), pager.ResidentFirst).stats.Misses
	if float64(got) > 1.01*expected {
		t.Errorf("got %d misses, any policy has %.0f on average", got, expected)
	}
	if best := s.run(t, newBelady(t, s), pager.ResidentFirst).stats.Misses; best >= got {
		t.Errorf("belady: got %d misses, want fewer than %d", best, got)
	}
}

// TestNextUseOverlap checks that the misses of a layer without residents do not all take
// one slot: neighbours must differ, or no upload could overlap a compute.
func TestNextUseOverlap(t *testing.T) {
	shape := pager.Shape{Layers: 4, Experts: 16, TopK: 2}
	p, err := pager.New(pager.Options{Shape: shape, Slots: 40})
	if err != nil {
		t.Fatal(err)
	}
	var experts []pager.ExpertID
	for i := range 20 * shape.Layers {
		layer := i % shape.Layers
		experts = experts[:0]
		for e := range shape.Experts {
			experts = append(experts, shape.ID(layer, e))
		}
		plan, err := p.Request(pager.Group{Step: i / shape.Layers, Layer: layer, Experts: experts})
		if err != nil {
			t.Fatal(err)
		}
		for j := 1; j < len(plan.Accesses); j++ {
			if a, b := plan.Accesses[j-1], plan.Accesses[j]; !a.Hit && a.Slot == b.Slot {
				t.Fatalf("group %d: experts %d and %d follow each other in slot %d",
					i, a.Expert, b.Expert, a.Slot)
			}
		}
	}
	if s := p.Stats(); s.Hits < int64(18*shape.Layers*(40-2)/shape.Layers) {
		t.Errorf("hits: got %d of %d", s.Hits, s.Accesses)
	}
}
