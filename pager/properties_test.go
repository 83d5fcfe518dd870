package pager_test

import (
	"slices"
	"testing"

	"ufm/pager"

	"pgregory.net/rapid"
)

// drawAccesses is a random sequence of single accesses to one layer.
func drawAccesses(t *rapid.T) scenario {
	shape := pager.Shape{Layers: 1, Experts: rapid.IntRange(1, 12).Draw(t, "experts")}
	s := scenario{shape: shape, slots: rapid.IntRange(1, shape.Experts).Draw(t, "slots")}
	ids := rapid.SliceOfN(rapid.IntRange(0, shape.Experts-1), 1, 80).Draw(t, "accesses")
	for _, e := range ids {
		s.groups = append(s.groups, pager.Group{Experts: []pager.ExpertID{pager.ExpertID(e)}})
	}
	return s
}

// misses is how often policy spec, or min, misses with that many slots.
func misses(t fataler, s scenario, spec string, slots int) int64 {
	s.slots = slots
	if spec == "min" {
		return s.run(t, newBelady(t, s), pager.ResidentFirst).stats.Misses
	}
	policy, err := pager.NewPolicy(spec, s.shape, slots)
	if err != nil {
		t.Fatal(err)
	}
	return s.run(t, policy, pager.ResidentFirst).stats.Misses
}

// A pool for all experts that are used misses each once, whatever the policy.
func TestLargePoolMissesOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawScenario(t)
		distinct := map[pager.ExpertID]bool{}
		for _, g := range s.groups {
			for _, e := range g.Experts {
				distinct[e] = true
			}
		}
		for _, name := range pager.PolicyNames() {
			if got := misses(t, s, name, len(distinct)); got != int64(len(distinct)) {
				t.Fatal(name, ": got", got, "misses of", len(distinct), "experts")
			}
		}
	})
}

// Stack algorithms, whose order of experts does not depend on the size of the pool,
// never miss more with more slots. The others may.
func TestStackAlgorithmsGainFromSlots(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawAccesses(t)
		for _, spec := range []string{"lru", "mru", "lfu", "lfu:half=0", "lfru", "min"} {
			last := misses(t, s, spec, 1)
			for slots := 2; slots <= s.shape.Experts; slots++ {
				now := misses(t, s, spec, slots)
				if now > last {
					t.Fatal(spec, ": misses", now, "with", slots, "slots,", last, "with one less")
				}
				last = now
			}
		}
	})
}

// Other names for the experts change nothing. (static breaks ties by name.)
func TestNamesDoNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawAccesses(t)
		var order []pager.ExpertID
		for e := range s.shape.Experts {
			order = append(order, pager.ExpertID(e))
		}
		order = rapid.Permutation(order).Draw(t, "names")
		renamed := s
		renamed.groups = slices.Clone(s.groups)
		for i, g := range s.groups {
			renamed.groups[i].Experts = []pager.ExpertID{order[g.Experts[0]]}
		}
		for _, name := range append(pager.PolicyNames(), "min") {
			if name == "static" {
				continue
			}
			if got, want := misses(t, renamed, name, s.slots), misses(t, s, name, s.slots); got != want {
				t.Fatal(name, ": got", got, "misses, want", want)
			}
		}
	})
}

// On a loop over n experts with c slots, min and mru hit (c − 1)/(n − 1) once the pool is
// full, and lru nothing.
func TestLoopClosedForm(t *testing.T) {
	const n, c, rounds = 41, 31, 120 // hits come in a pattern of n − 1 rounds
	s := scenario{shape: pager.Shape{Layers: 1, Experts: n}}
	for i := range n * (rounds + 1) {
		s.groups = append(s.groups, pager.Group{Experts: []pager.ExpertID{pager.ExpertID(i % n)}})
	}
	for spec, want := range map[string]int{"min": n * rounds * (c - 1) / (n - 1), "lru": 0,
		"mru": n * rounds * (c - 1) / (n - 1)} {
		got := len(s.groups) - int(misses(t, s, spec, c))
		if got < want || got > want+c && spec == "min" || spec != "min" && got != want {
			t.Errorf("%s: got %d hits in %d rounds, want %d", spec, got, rounds, want)
		}
	}
}
