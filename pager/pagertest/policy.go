package pagertest

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"ufm/pager"
)

// TestPolicy runs everything that a policy must pass: TestDecisions, and that it does
// not allocate once its pool is full.
func TestPolicy(t *testing.T, newPolicy func(pager.Shape, int) pager.Policy) {
	TestDecisions(t, newPolicy)
	t.Run("allocations", func(t *testing.T) { testAllocations(t, newPolicy) })
}

// TestDecisions is TestPolicy for a policy that may allocate.
func TestDecisions(t *testing.T, newPolicy func(pager.Shape, int) pager.Policy) {
	orders := []pager.Order{pager.ResidentFirst, pager.Ascending}
	t.Run("single experts", func(t *testing.T) {
		shape := pager.Shape{Layers: 1, Experts: 4, TopK: 1}
		exhaust(t, newPolicy, shape, 5, orders[:1], // both orders are one here
			[][]pager.ExpertID{{0}, {1}, {2}, {3}})
	})
	t.Run("groups", func(t *testing.T) {
		shape := pager.Shape{Layers: 1, Experts: 3, TopK: 2}
		exhaust(t, newPolicy, shape, 4, orders,
			[][]pager.ExpertID{{0}, {1}, {2}, {0, 1}, {0, 2}, {1, 2}, {0, 1, 2}})
	})
	t.Run("layers", func(t *testing.T) {
		shape := pager.Shape{Layers: 2, Experts: 2, TopK: 1}
		exhaust(t, newPolicy, shape, 6, orders, [][]pager.ExpertID{{0}, {1}, {0, 1}})
	})
	t.Run("random", func(t *testing.T) { testRandom(t, newPolicy) })
	t.Run("deterministic", func(t *testing.T) { testDeterministic(t, newPolicy) })
}

// exhaust compares the pager with the model on every sequence of that many groups,
// which take layers in turn and the given indexes of experts within their layer.
func exhaust(
	t *testing.T, newPolicy func(pager.Shape, int) pager.Policy,
	shape pager.Shape, length int, orders []pager.Order, choices [][]pager.ExpertID,
) {
	total := 1
	for range length {
		total *= len(choices)
	}
	trace := make([]pager.Group, length)
	for _, order := range orders {
		for slots := 1; slots <= 3; slots++ {
			for number := range total {
				for i, rest := 0, number; i < length; i, rest = i+1, rest/len(choices) {
					layer := i % shape.Layers
					experts := slices.Clone(choices[rest%len(choices)])
					for j := range experts {
						experts[j] += shape.ID(layer, 0)
					}
					trace[i] = pager.Group{Step: i / shape.Layers, Layer: layer, Experts: experts}
				}
				compare(t, newPolicy, shape, slots, order, trace)
			}
		}
	}
}

func compare(
	t *testing.T, newPolicy func(pager.Shape, int) pager.Policy,
	shape pager.Shape, slots int, order pager.Order, trace []pager.Group,
) {
	t.Helper()
	p, err := pager.New(pager.Options{
		Shape: shape, Slots: slots, Policy: newPolicy(shape, slots), Order: order,
		Uploader: NewFake(shape, slots),
	})
	if err != nil {
		t.Fatal(err)
	}
	m := newModel(newPolicy(shape, slots), order, slots)
	for i, g := range trace {
		plan, err := p.Request(g)
		if err != nil {
			t.Fatalf("%d slots, %v, groups %v: group %d: %v", slots, order, experts(trace), i, err)
		}
		if want := m.request(g); !slices.Equal(plan.Accesses, want) {
			t.Fatalf("%d slots, %v, groups %v: group %d: got %v, want %v",
				slots, order, experts(trace), i, plan.Accesses, want)
		}
	}
}

func experts(trace []pager.Group) [][]pager.ExpertID {
	var list [][]pager.ExpertID
	for _, g := range trace {
		list = append(list, g.Experts)
	}
	return list
}

// randomShape has more slots than a group, but fewer than the universe.
var randomShape = pager.Shape{Layers: 5, Experts: 12, TopK: 3}

const randomSlots = 17

// script asks p for some hundreds of random groups and prefetches.
func script(t *testing.T, p *pager.Pager, after func(g pager.Group, ahead []pager.ExpertID)) {
	t.Helper()
	rng := rand.New(rand.NewPCG(7, 0))
	for i := range 400 {
		layer := i % randomShape.Layers
		var ahead []pager.ExpertID
		if i%3 == 0 {
			ahead = randomExperts(rng, layer, 1+rng.IntN(4))
			if err := p.Prefetch(ahead); err != nil {
				t.Fatal(err)
			}
		}
		// Now and then a group does not fit the pool on its own.
		g := pager.Group{
			Step: i / randomShape.Layers, Layer: layer,
			Experts: randomExperts(rng, layer, 1+rng.IntN(randomShape.Experts)),
		}
		slices.Sort(g.Experts)
		after(g, ahead)
		if _, err := p.Request(g); err != nil {
			t.Fatal(err)
		}
	}
}

func randomExperts(rng *rand.Rand, layer, n int) []pager.ExpertID {
	var list []pager.ExpertID
	for _, i := range rng.Perm(randomShape.Experts)[:n] {
		list = append(list, randomShape.ID(layer, i))
	}
	return list
}

// testRandom checks what must hold whatever the policy decides.
func testRandom(t *testing.T, newPolicy func(pager.Shape, int) pager.Policy) {
	for _, slots := range []int{1, 2, randomSlots, randomShape.Universe()} {
		for _, order := range []pager.Order{pager.ResidentFirst, pager.Ascending} {
			fake := NewFake(randomShape, slots)
			p, err := pager.New(pager.Options{
				Shape: randomShape, Slots: slots, Policy: newPolicy(randomShape, slots),
				Order: order, Uploader: fake,
			})
			if err != nil {
				t.Fatal(err)
			}
			script(t, p, func(g pager.Group, ahead []pager.ExpertID) {
				checkPool(t, p, fake, ahead)
			})
			checkCounts(t, p)
		}
	}
}

// checkPool checks the pool just after ahead was prefetched.
func checkPool(t *testing.T, p *pager.Pager, fake *Fake, ahead []pager.ExpertID) {
	t.Helper()
	there := 0
	for s, e := range p.Resident() {
		if got := fake.Held(pager.Slot(s)); got != e {
			t.Fatalf("slot %d: the pager says expert %d, the uploader %d", s, e, got)
		}
		if slices.Contains(ahead, e) {
			there++
		}
	}
	if want := min(len(ahead), p.Slots()); there != want {
		t.Fatalf("%d of %d prefetched experts are resident, want %d", there, len(ahead), want)
	}
}

func checkCounts(t *testing.T, p *pager.Pager) {
	t.Helper()
	s := p.Stats()
	if s.Hits+s.Misses != s.Accesses {
		t.Errorf("hits %d + misses %d, want %d accesses", s.Hits, s.Misses, s.Accesses)
	}
	if s.Misses+s.Prefetches != s.Uploads {
		t.Errorf("misses %d + prefetches %d, want %d uploads", s.Misses, s.Prefetches, s.Uploads)
	}
	if s.PrefetchUsed+s.PrefetchWasted > s.Prefetches {
		t.Errorf("prefetches used %d + wasted %d, want at most %d",
			s.PrefetchUsed, s.PrefetchWasted, s.Prefetches)
	}
	residents := int64(0)
	for _, e := range p.Resident() {
		if e != pager.NoExpert {
			residents++
		}
	}
	if s.Uploads-s.Evictions != residents {
		t.Errorf("uploads %d - evictions %d, want %d residents", s.Uploads, s.Evictions, residents)
	}
}

// testDeterministic compares the logs of two runs.
func testDeterministic(t *testing.T, newPolicy func(pager.Shape, int) pager.Policy) {
	var logs [2]bytes.Buffer
	for i := range logs {
		var log *pager.Log
		p, err := pager.New(pager.Options{
			Shape: randomShape, Slots: randomSlots, Policy: newPolicy(randomShape, randomSlots),
			Observe: func(ev *pager.Event) { log.Observe(ev) },
		})
		if err != nil {
			t.Fatal(err)
		}
		log = pager.NewLog(&logs[i], p.Header(7))
		script(t, p, func(pager.Group, []pager.ExpertID) {})
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(logs[0].Bytes(), logs[1].Bytes()) {
		t.Error("two runs with the same requests gave different event logs")
	}
}

// testAllocations counts allocations of requests and prefetches in steady state.
func testAllocations(t *testing.T, newPolicy func(pager.Shape, int) pager.Policy) {
	p, err := pager.New(pager.Options{
		Shape: randomShape, Slots: randomSlots, Policy: newPolicy(randomShape, randomSlots),
		Observe: func(*pager.Event) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	script(t, p, func(pager.Group, []pager.ExpertID) {})
	rng := rand.New(rand.NewPCG(8, 0))
	var groups []pager.Group
	for i := range 50 {
		layer := i % randomShape.Layers
		experts := randomExperts(rng, layer, 6)
		slices.Sort(experts)
		groups = append(groups, pager.Group{Layer: layer, Experts: experts})
	}
	i := 0
	got := testing.AllocsPerRun(100, func() {
		g := groups[i%len(groups)]
		i++
		if p.Prefetch(g.Experts[:2]) != nil {
			panic("prefetch failed")
		}
		if _, err := p.Request(g); err != nil {
			panic(err)
		}
	})
	if got != 0 {
		t.Errorf("%v allocations a group, want 0", got)
	}
}
