package pager_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"ufm/pager"

	"pgregory.net/rapid"
)

// modelled are specs of policies that have a plain model.
var modelled = []string{
	"2q", "arc", "arraylru", "clock", "fifo", "layerlru", "lfu", "lfu:half=0", "lfu:half=3",
	"lirs", "lirs:far=0.4", "lru", "mru", "perlayer", "s3fifo", "sieve", "slru",
	"slru:protected=0.5", "static:warmup=2",
}

// Every policy has a model here or a test of its own that is told of.
func TestEveryPolicyIsModelled(t *testing.T) {
	others := []string{
		"nextuse", // TestNextUseEqualsScan
		"lfru",    // TestLFRUEvictsTheLeast
		"random",  // TestRandomIsUniform
		"static",  // with a shorter warm-up
	}
	for _, name := range pager.PolicyNames() {
		if !slices.Contains(modelled, name) && !slices.Contains(others, name) {
			t.Errorf("policy %s has no model", name)
		}
	}
}

// requests asks a pager for the groups of s, with prefetches in between where ahead has
// some, and returns what it did.
func requests(
	t fataler, s scenario, ahead [][]pager.ExpertID, policy pager.Policy, order pager.Order,
) *recording {
	rec := &recording{}
	p, err := pager.New(pager.Options{
		Shape: s.shape, Slots: s.slots, Policy: policy, Order: order, Observe: rec.observe,
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, g := range s.groups {
		if ahead != nil {
			err = p.Prefetch(ahead[i])
		}
		if err == nil {
			_, err = p.Request(g)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return rec
}

// compareWithModel runs policy spec and its model through the same requests.
func compareWithModel(
	t fataler, spec string, s scenario, ahead [][]pager.ExpertID, order pager.Order,
) {
	policy, err := pager.NewPolicy(spec, s.shape, s.slots)
	if err != nil {
		t.Fatal(err)
	}
	got := requests(t, s, ahead, policy, order)
	want := requests(t, s, ahead, newPlainPolicy(spec, s.shape, s.slots), order)
	for i := range want.events {
		if g, w := got.events[i], want.events[i]; !slices.Equal(g.Hits, w.Hits) ||
			!slices.Equal(g.Misses, w.Misses) || !slices.Equal(g.Prefetches, w.Prefetches) {
			t.Fatal(fmt.Sprintf("%s, %+v, %d slots, %v: group %d: got\n%v, want\n%v",
				spec, s.shape, s.slots, order, i, g, w))
		}
	}
}

// TestTinyUniverses compares every policy with its model on all traces of 7 accesses to
// at most 4 experts, but for renaming, in one layer and, with two experts each, in two.
func TestTinyUniverses(t *testing.T) {
	t.Parallel()
	single := scenario{shape: pager.Shape{Layers: 1, Experts: 4, TopK: 1}}
	double := scenario{shape: pager.Shape{Layers: 2, Experts: 2, TopK: 1}}
	eachTrace(nil, 7, func(trace []int) {
		single.groups, double.groups = single.groups[:0], double.groups[:0]
		for _, e := range trace {
			experts := []pager.ExpertID{pager.ExpertID(e)}
			single.groups = append(single.groups, pager.Group{Experts: experts})
			double.groups = append(double.groups, pager.Group{Layer: e / 2, Experts: experts})
		}
		for slots := 1; slots <= 4; slots++ {
			single.slots, double.slots = slots, slots
			for _, spec := range modelled {
				compareWithModel(t, spec, single, nil, pager.ResidentFirst)
				if spec == "layerlru" || spec == "perlayer" {
					compareWithModel(t, spec, double, nil, pager.ResidentFirst)
				}
			}
		}
	})
}

// eachTrace calls f with every continuation of trace to that length in which a new
// expert is the lowest that was not used yet.
func eachTrace(trace []int, length int, f func([]int)) {
	if len(trace) == length {
		f(trace)
		return
	}
	next := 0
	for _, e := range trace {
		next = max(next, e+1)
	}
	for e := range min(next+1, 4) {
		eachTrace(append(slices.Clip(trace), e), length, f)
	}
}

func TestPoliciesEqualModels(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawScenario(t)
		ahead := make([][]pager.ExpertID, len(s.groups))
		request := rapid.SliceOfN(rapid.Uint32Range(0, uint32(s.shape.Universe())), 0, 3)
		for i := range ahead {
			for _, e := range request.Draw(t, "prefetch") {
				ahead[i] = append(ahead[i], pager.ExpertID(e))
			}
		}
		for _, spec := range modelled {
			compareWithModel(t, spec, s, nil, pager.ResidentFirst)
			compareWithModel(t, spec, s, ahead, pager.Ascending)
		}
	})
}

// skewed is a long decode-like scenario.
func skewed(seed uint64, groups int) scenario {
	rng := rand.New(rand.NewPCG(seed, 0))
	s := scenario{shape: pager.Shape{Layers: 5, Experts: 24, TopK: 3}}
	s.slots = 6 + rng.IntN(80)
	for i := range groups {
		g := pager.Group{Step: i / 5, Layer: i % 5, Phase: pager.Decode}
		for len(g.Experts) < 3 {
			u := rng.Float64()
			e := s.shape.ID(g.Layer, (int(u*u*u*24)+i/700)%24)
			if !slices.Contains(g.Experts, e) {
				g.Experts = append(g.Experts, e)
			}
		}
		slices.Sort(g.Experts)
		s.groups = append(s.groups, g)
	}
	return s
}

func TestPoliciesEqualModelsOnLongTraces(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		s := skewed(seed, 1500)
		for _, spec := range modelled {
			compareWithModel(t, spec, s, nil, pager.ResidentFirst)
		}
	}
}

// checkedLFRU checks each victim against sums that fade at every turn, in floats.
type checkedLFRU struct {
	pager.Policy
	t        *testing.T
	fade     float64
	sum      map[pager.ExpertID]float64
	resident map[pager.ExpertID]bool
}

func (p *checkedLFRU) Begin(layer int, hits, misses []pager.ExpertID) {
	p.Policy.Begin(layer, hits, misses)
	for e := range p.sum {
		p.sum[e] *= p.fade
	}
}

func (p *checkedLFRU) Touch(e pager.ExpertID) {
	p.Policy.Touch(e)
	p.sum[e]++
}

func (p *checkedLFRU) Insert(e pager.ExpertID, prefetch bool) {
	p.Policy.Insert(e, prefetch)
	p.sum[e]++
	p.resident[e] = true
}

func (p *checkedLFRU) Evict() pager.ExpertID {
	victim := p.Policy.Evict()
	delete(p.resident, victim)
	for e := range p.resident {
		if p.sum[victim] > p.sum[e]*(1+1e-4) {
			p.t.Fatalf("evicted expert %d of sum %g, expert %d has %g",
				victim, p.sum[victim], e, p.sum[e])
		}
	}
	return victim
}

func TestLFRUEvictsTheLeast(t *testing.T) {
	t.Parallel()
	s := skewed(9, 12000) // long enough for the weights to be divided
	for _, window := range []int{3, 128} {
		policy := &checkedLFRU{
			Policy: newPolicy(t, fmt.Sprintf("lfru:window=%d", window), s.shape, s.slots), t: t,
			fade: 1 / (1 + 1/float64(window*s.shape.Layers)),
			sum:  map[pager.ExpertID]float64{}, resident: map[pager.ExpertID]bool{},
		}
		requests(t, s, nil, policy, pager.ResidentFirst)
	}
}

// Each of 8 residents is as likely as the others to go, and another seed chooses others.
func TestRandomIsUniform(t *testing.T) {
	const slots, draws = 8, 16000
	shape := pager.Shape{Layers: 1, Experts: 9}
	evicted := map[string][]pager.ExpertID{}
	for _, spec := range []string{"random", "random:seed=2"} {
		p := newPolicy(t, spec, shape, slots)
		for e := range pager.ExpertID(slots) {
			p.Insert(e, false)
		}
		var count [slots]int
		for range draws {
			e := p.Evict()
			evicted[spec] = append(evicted[spec], e)
			count[e]++
			p.Insert(e, false)
		}
		for e, n := range count {
			if want := draws / slots; n < want*9/10 || n > want*11/10 {
				t.Errorf("%s: expert %d was evicted %d times of %d, want about %d",
					spec, e, n, draws, want)
			}
		}
	}
	if slices.Equal(evicted["random"], evicted["random:seed=2"]) {
		t.Error("two seeds evict alike")
	}
}
