package pager_test

import (
	"math/bits"
	"math/rand/v2"
	"strings"
	"testing"

	"ufm/pager"

	"pgregory.net/rapid"
)

// plainBelady decides as belady should, by looking through everything.
type plainBelady struct {
	groups  []pager.Group
	now     int // groups begun
	touched map[pager.ExpertID]int
	clock   int
}

func (p *plainBelady) Name() string                                  { return "plain belady" }
func (p *plainBelady) Begin(int, []pager.ExpertID, []pager.ExpertID) { p.now++ }
func (p *plainBelady) Insert(e pager.ExpertID, _ bool)               { p.Touch(e) }

func (p *plainBelady) Touch(e pager.ExpertID) {
	p.clock++
	p.touched[e] = p.clock
}

// next is the first group from the next one on that uses e. In ascending order a
// member of the current group that still waits for its turn is needed at once.
func (p *plainBelady) next(e pager.ExpertID) int {
	for i := p.now; i < len(p.groups); i++ {
		for _, x := range p.groups[i].Experts {
			if x == e {
				return i
			}
		}
	}
	return len(p.groups)
}

func (p *plainBelady) Evict() pager.ExpertID {
	best := pager.NoExpert
	for e := range p.touched {
		if best == pager.NoExpert || p.next(e) > p.next(best) ||
			p.next(e) == p.next(best) && p.touched[e] < p.touched[best] {
			best = e
		}
	}
	delete(p.touched, best)
	return best
}

func newBelady(t fataler, s scenario) pager.Policy {
	p, err := pager.NewBelady(s.shape, s.groups)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestBeladyEqualsPlain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawScenario(t)
		got := s.run(t, newBelady(t, s), pager.ResidentFirst)
		plain := &plainBelady{groups: s.groups, touched: map[pager.ExpertID]int{}}
		if want := s.run(t, plain, pager.ResidentFirst); !got.equal(want) {
			t.Fatalf("got %v, want %v", got.events, want.events)
		}
	})
}

func TestBeladyBeatsPolicies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawScenario(t)
		best := s.run(t, newBelady(t, s), pager.ResidentFirst).stats
		for _, name := range pager.PolicyNames() {
			policy, err := pager.NewPolicy(name, s.shape, s.slots)
			if err != nil {
				t.Fatal(err)
			}
			got := s.run(t, policy, pager.ResidentFirst).stats
			if got.Hits+got.Misses != got.Accesses {
				t.Fatalf("%s: hits %d + misses %d, want %d", name, got.Hits, got.Misses, got.Accesses)
			}
			if got.Misses < best.Misses {
				t.Fatalf("%s: %d misses, belady %d", name, got.Misses, best.Misses)
			}
		}
	})
}

// fewest is the least number of misses that any choice of victims leads to: a search
// through all sets of residents, as bit masks over the universe.
func fewest(s scenario) int {
	states := map[uint32]int{0: 0} // residents before the group: misses so far
	for _, g := range s.groups {
		var group uint32
		for _, e := range g.Experts {
			group |= 1 << e
		}
		after := map[uint32]int{}
		for state, misses := range states {
			step := map[uint32]int{state: misses}
			for missing := group &^ state; missing != 0; missing &= missing - 1 {
				step = insert(step, missing&-missing, s.slots)
			}
			merge(after, step)
		}
		states = after
	}
	best := -1
	for _, misses := range states {
		if best < 0 || misses < best {
			best = misses
		}
	}
	return best
}

// insert makes bit resident in every state, with every possible victim.
func insert(states map[uint32]int, bit uint32, slots int) map[uint32]int {
	after := map[uint32]int{}
	for state, misses := range states {
		if bits.OnesCount32(state) < slots {
			merge(after, map[uint32]int{state | bit: misses + 1})
			continue
		}
		for rest := state; rest != 0; rest &= rest - 1 {
			merge(after, map[uint32]int{state&^(rest&-rest) | bit: misses + 1})
		}
	}
	return after
}

func merge(dst, src map[uint32]int) {
	for state, misses := range src {
		if old, ok := dst[state]; !ok || misses < old {
			dst[state] = misses
		}
	}
}

func TestBeladyIsOptimal(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 0))
	for range 300 {
		s := scenario{
			shape: pager.Shape{Layers: 1 + rng.IntN(3), Experts: 3},
			slots: 1 + rng.IntN(5),
		}
		for i := range 12 {
			g := pager.Group{Layer: i % s.shape.Layers}
			mask := 1 + rng.IntN(7)
			for e := range 3 {
				if mask>>e&1 == 1 {
					g.Experts = append(g.Experts, s.shape.ID(g.Layer, e))
				}
			}
			s.groups = append(s.groups, g)
		}
		got := s.run(t, newBelady(t, s), pager.ResidentFirst).stats.Misses
		if want := fewest(s); got != int64(want) {
			t.Fatalf("%+v: got %d misses, want %d", s, got, want)
		}
	}
}

func TestBeladyPrefetch(t *testing.T) {
	groups := []pager.Group{
		{Experts: []pager.ExpertID{0}}, {Experts: []pager.ExpertID{1}},
		{Experts: []pager.ExpertID{2}}, {Experts: []pager.ExpertID{0}},
	}
	s := scenario{shape: pager.Shape{Layers: 1, Experts: 3}, slots: 2, groups: groups}
	p, err := pager.New(pager.Options{Shape: s.shape, Slots: 2, Policy: newBelady(t, s)})
	if err != nil {
		t.Fatal(err)
	}
	for i, g := range groups {
		if i == 2 { // 1 is never used again, so 2 takes its slot and 0 stays
			if err := p.Prefetch([]pager.ExpertID{2}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := p.Request(g); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := p.Stats().Hits, int64(2); got != want {
		t.Errorf("got %d hits, want %d", got, want)
	}
}

func TestBeladyRefusesOthers(t *testing.T) {
	shape := pager.Shape{Layers: 1, Experts: 3}
	_, err := pager.NewBelady(shape, []pager.Group{{Experts: []pager.ExpertID{3}}})
	if err == nil || !strings.Contains(err.Error(), "group 0: expert 3 of 3") {
		t.Errorf("expert outside the model: got error %v", err)
	}
	policy, err := pager.NewBelady(shape, []pager.Group{{Experts: []pager.ExpertID{1}}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if recover() == nil {
			t.Error("a group that was not foretold: got no panic")
		}
	}()
	policy.Begin(0, nil, []pager.ExpertID{2})
	policy.Insert(2, false)
}
