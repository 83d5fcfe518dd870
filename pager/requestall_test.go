package pager_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"ufm/pager"
)

// TestRequestAllEqualsRequest compares the pools and the counts of both, with and without
// an observer, which must be shown every group.
func TestRequestAllEqualsRequest(t *testing.T) {
	shape := pager.Shape{Layers: 4, Experts: 16, TopK: 2}
	groups := decoding(shape, 50)
	for _, name := range pager.PolicyNames() {
		for _, order := range []pager.Order{pager.ResidentFirst, pager.Ascending} {
			rng := rand.New(rand.NewPCG(1, 0))
			seen := 0
			var pagers [3]*pager.Pager
			for i := range pagers {
				opts := pager.Options{
					Shape: shape, Slots: 20, Order: order, Policy: newPolicy(t, name, shape, 20),
				}
				if i == 2 {
					opts.Observe = func(*pager.Event) { seen++ }
				}
				var err error
				if pagers[i], err = pager.New(opts); err != nil {
					t.Fatal(err)
				}
			}
			for rest := groups; len(rest) > 0; {
				n := min(rng.IntN(9), len(rest))
				ahead := []pager.ExpertID{pager.ExpertID(rng.IntN(shape.Universe()))}
				for i, p := range pagers {
					if err := p.Prefetch(ahead); err != nil {
						t.Fatal(err)
					}
					requestGroups(t, p, rest[:n], i > 0)
					if got, want := p.Stats(), pagers[0].Stats(); got != want {
						t.Fatalf("%s, %v: got %+v, want %+v", name, order, got, want)
					}
					if got, want := p.Resident(), pagers[0].Resident(); !slices.Equal(got, want) {
						t.Fatalf("%s, %v: got residents %v, want %v", name, order, got, want)
					}
				}
				rest = rest[n:]
			}
			if seen != len(groups) {
				t.Errorf("%s, %v: the observer saw %d groups, want %d", name, order, seen, len(groups))
			}
		}
	}
}

func requestGroups(t *testing.T, p *pager.Pager, groups []pager.Group, all bool) {
	t.Helper()
	if all {
		if done, err := p.RequestAll(groups); err != nil || done != len(groups) {
			t.Fatalf("got %d groups, error %v, want %d", done, err, len(groups))
		}
		return
	}
	for _, g := range groups {
		if _, err := p.Request(g); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRequestAllErrors(t *testing.T) {
	observe := func(*pager.Event) {}
	for _, opts := range []pager.Options{
		{Shape: small, Slots: 2}, {Shape: small, Slots: 2, Observe: observe},
	} {
		p, err := pager.New(opts)
		if err != nil {
			t.Fatal(err)
		}
		done, err := p.RequestAll([]pager.Group{
			{Experts: []pager.ExpertID{0, 1}}, {Experts: []pager.ExpertID{1, 0}},
		})
		if done != 1 || err == nil || !strings.Contains(err.Error(), "want ascending") {
			t.Errorf("got %d groups, error %v, want 1 and that experts do not ascend", done, err)
		}
		if got := p.Stats().Accesses; got != 2 {
			t.Errorf("got %d accesses, want 2", got)
		}
		plan, err := p.Request(pager.Group{Experts: []pager.ExpertID{0}})
		if err != nil || len(plan.Accesses) != 1 {
			t.Errorf("a request after it: got plan %+v, error %v", plan, err)
		}
	}
}
