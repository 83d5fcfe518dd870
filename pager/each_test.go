package pager_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"ufm/pager"
	"ufm/pager/pagertest"

	"pgregory.net/rapid"
)

// TestRequestEachEqualsRequest compares the state of the pool after every stretch of
// single requests, without prefetches in between and then with them, for every policy.
func TestRequestEachEqualsRequest(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 0))
	shape := pager.Shape{Layers: 4, Experts: 48, TopK: 2}
	universe := shape.Universe()
	anyOf := func() pager.ExpertID { return pager.ExpertID(rng.IntN(universe)) }
	for _, name := range pager.PolicyNames() {
		for _, slots := range []int{1, 7, 40, 64, 65, 128, 150, universe} {
			var pagers [2]*pager.Pager
			for i := range pagers {
				var err error
				pagers[i], err = pager.New(pager.Options{
					Shape: shape, Slots: slots, Policy: newPolicy(t, name, shape, slots),
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			for stretch := range 120 {
				ahead := []pager.ExpertID{anyOf(), anyOf()}
				if stretch < 60 {
					ahead = ahead[:0]
				}
				experts := make([]pager.ExpertID, rng.IntN(60))
				for i := range experts {
					u := rng.Float64()
					experts[i] = pager.ExpertID(math.Pow(u, 1.3) * float64(universe))
				}
				requestBoth(t, pagers, experts, ahead[:min(stretch%3, len(ahead))])
				if got, want := pagers[1].Stats(), pagers[0].Stats(); got != want {
					t.Fatalf("%s, %d slots: got %+v, want %+v", name, slots, got, want)
				}
				if got, want := pagers[1].Resident(), pagers[0].Resident(); !slices.Equal(got, want) {
					t.Fatalf("%s, %d slots: got residents %v, want %v", name, slots, got, want)
				}
			}
		}
	}
}

// requestBoth asks the first pager by Request and the second by RequestEach.
func requestBoth(t *testing.T, pagers [2]*pager.Pager, experts, ahead []pager.ExpertID) {
	t.Helper()
	for _, p := range pagers {
		if err := p.Prefetch(ahead); err != nil {
			t.Fatal(err)
		}
	}
	for i, e := range experts {
		_, err := pagers[0].Request(pager.Group{
			Layer: pagers[0].Shape().Layer(e), Experts: experts[i : i+1],
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := pagers[1].RequestEach(experts); err != nil {
		t.Fatal(err)
	}
}

func TestRequestEachErrors(t *testing.T) {
	for _, name := range []string{"fifo", "nextuse"} {
		p, err := pager.New(pager.Options{
			Shape: small, Slots: 2, Policy: newPolicy(t, name, small, 2),
		})
		if err != nil {
			t.Fatal(err)
		}
		err = p.RequestEach([]pager.ExpertID{1, 2, 1, 8, 3})
		if err == nil || !strings.Contains(err.Error(), "request 3: expert 8 of 8") {
			t.Errorf("%s: got error %v, want one that names request 3", name, err)
		}
		want := pager.Stats{Groups: 3, Accesses: 3, Hits: 1, Misses: 2, Uploads: 2}
		if got := p.Stats(); got != want {
			t.Errorf("%s: got %+v, want %+v", name, got, want)
		}
	}
	p, err := pager.New(pager.Options{Shape: small, Slots: 2, Uploader: pagertest.NewFake(small, 2)})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.RequestEach([]pager.ExpertID{1}); err == nil {
		t.Error("with an uploader: got no error")
	}
}

func TestRequestEachDoesNotAllocate(t *testing.T) {
	shape := pager.Shape{Layers: 4, Experts: 16, TopK: 2}
	experts := make([]pager.ExpertID, 200)
	for i := range experts {
		experts[i] = pager.ExpertID(i * i % 61)
	}
	for _, name := range pager.PolicyNames() {
		if name == "lru" { // golang-lru allocates
			continue
		}
		p, err := pager.New(pager.Options{
			Shape: shape, Slots: 20, Policy: newPolicy(t, name, shape, 20),
		})
		if err != nil {
			t.Fatal(err)
		}
		got := testing.AllocsPerRun(20, func() {
			if p.RequestEach(experts) != nil {
				panic("request failed")
			}
		})
		if got != 0 {
			t.Errorf("%s: %v allocations in %d requests, want 0", name, got, len(experts))
		}
	}
}

func TestMinEqualsBelady(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawScenario(t)
		var accesses []pager.ExpertID
		for i := range s.groups {
			s.groups[i].Experts = s.groups[i].Experts[:1]
			accesses = append(accesses, s.groups[i].Experts[0])
		}
		least, err := pager.NewMin(s.shape, accesses)
		if err != nil {
			t.Fatal(err)
		}
		got := s.run(t, least, pager.ResidentFirst)
		if want := s.run(t, newBelady(t, s), pager.ResidentFirst); !got.equal(want) {
			t.Fatalf("got %v, want %v", got.events, want.events)
		}
	})
}

func TestMinRefusesOthers(t *testing.T) {
	shape := pager.Shape{Layers: 1, Experts: 3}
	_, err := pager.NewMin(shape, []pager.ExpertID{1, 3})
	if err == nil || !strings.Contains(err.Error(), "access 1: expert 3 of 3") {
		t.Errorf("expert outside the model: got error %v", err)
	}
	for name, request := range map[string]func(pager.Policy){
		"another expert": func(p pager.Policy) { p.Insert(2, false) },
		"one too many":   func(p pager.Policy) { p.Insert(1, false); p.Touch(1) },
		"a prefetch":     func(p pager.Policy) { p.Insert(1, true) },
	} {
		p, err := pager.NewMin(shape, []pager.ExpertID{1})
		if err != nil {
			t.Fatal(err)
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: got no panic", name)
				}
			}()
			request(p)
		}()
	}
}
