package pager_test

import (
	"slices"
	"strings"
	"testing"

	"ufm/pager"
	"ufm/pager/pagertest"

	"pgregory.net/rapid"
)

func newPolicy(t testing.TB, spec string, shape pager.Shape, slots int) pager.Policy {
	t.Helper()
	p, err := pager.NewPolicy(spec, shape, slots)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPolicies(t *testing.T) {
	for _, name := range pager.PolicyNames() {
		t.Run(name, func(t *testing.T) {
			suite := pagertest.TestPolicy
			if name == "lru" { // golang-lru allocates
				suite = pagertest.TestDecisions
			}
			suite(t, func(shape pager.Shape, slots int) pager.Policy {
				return newPolicy(t, name, shape, slots)
			})
		})
	}
}

func TestPolicyNames(t *testing.T) {
	shape := pager.Shape{Layers: 2, Experts: 4, TopK: 1}
	if !slices.Contains(pager.PolicyNames(), pager.DefaultPolicy) {
		t.Errorf("the default policy %s is not among %v", pager.DefaultPolicy, pager.PolicyNames())
	}
	for _, spec := range append(pager.PolicyNames(), "nextuse:window=4", "random:seed=3",
		"slru:protected=0", "2q:in=0.1,out=1.5", "s3fifo:ghost=0.125") {
		if got := newPolicy(t, spec, shape, 3).Name(); got != spec {
			t.Errorf("name of policy %q: got %q", spec, got)
		}
	}
	for spec, want := range map[string]string{
		"nextuse:window=48": "nextuse", "slru:protected=.800": "slru",
		"2q:out=1,in=.25": "2q:out=1", "slru:protected=1.": "slru:protected=1",
	} {
		if got := newPolicy(t, spec, shape, 3).Name(); got != want {
			t.Errorf("name of policy %q: got %q, want %q", spec, got, want)
		}
	}
}

func TestPolicyInfos(t *testing.T) {
	names := pager.PolicyNames()
	if !slices.IsSorted(names) {
		t.Errorf("policies are not in order: %v", names)
	}
	for i, p := range pager.Policies() {
		if p.Name != names[i] || p.Evicts == "" || p.Cost == "" || p.Source == "" {
			t.Errorf("policy %s: got %+v, want all fields", names[i], p)
		}
		for _, a := range p.Parameters {
			if a.Meaning == "" || a.Low > a.Default || a.Default > a.High {
				t.Errorf("policy %s: parameter %+v", p.Name, a)
			}
			for _, v := range []int{a.Low, a.Default, a.High} {
				spec := p.Name + ":" + a.Key + "=" + a.Text(v)
				newPolicy(t, spec, pager.Shape{Layers: 2, Experts: 4}, 3)
			}
		}
	}
}

func TestNewPolicyErrors(t *testing.T) {
	shape := pager.Shape{Layers: 2, Experts: 4, TopK: 1}
	for _, c := range []struct {
		spec, want string
	}{
		{"mru2", "unknown, want one of 2q, arc, arraylru, "},
		{"", "unknown"},
		{"belady", "future"},
		{"min", "single accesses"},
		{"lru:size=3", "size is unknown: the policy has none"},
		{"nextuse:size=3", "size is unknown, want one of window"},
		{"nextuse:", "no parameter after the colon"},
		{"nextuse:window", "want key=value"},
		{"nextuse:window=", "want key=value"},
		{"nextuse:window=1", "window is \"1\", want a whole number from 2 to 1024"},
		{"nextuse:window=1025", "want a whole number"},
		{"nextuse:window=x", "want a whole number"},
		{"nextuse:window=4,window=5", "given twice"},
		{"slru:protected=1.001", "is \"1.001\", want a decimal of at most three places from 0 to 1"},
		{"slru:protected=0.8001", "want a decimal"},
		{"slru:protected=-0.5", "want a decimal"},
		{"slru:protected=+0.5", "want a decimal"},
		{"slru:protected=.", "want a decimal"},
		{"slru:protected=1e-1", "want a decimal"},
		{"2q:in=0", "want a decimal of at most three places from 0.001 to 0.999"},
		{"2q:small=0.1", "small is unknown, want one of in, out"},
	} {
		_, err := pager.NewPolicy(c.spec, shape, 3)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("policy %q: got error %v, want one with %q", c.spec, err, c.want)
		}
	}
	if _, err := pager.NewPolicy("lru", shape, 0); err == nil {
		t.Error("policy for 0 slots: got no error")
	}
	if _, err := pager.NewPolicy("lru", pager.Shape{}, 1); err == nil {
		t.Error("policy for no experts: got no error")
	}
}

// scenario is a random model, pool and sequence of groups.
type scenario struct {
	shape  pager.Shape
	slots  int
	groups []pager.Group
}

func drawScenario(t *rapid.T) scenario {
	var s scenario
	s.shape = pager.Shape{
		Layers:  rapid.IntRange(1, 4).Draw(t, "layers"),
		Experts: rapid.IntRange(1, 9).Draw(t, "experts"),
	}
	s.slots = rapid.IntRange(1, s.shape.Universe()).Draw(t, "slots")
	seen := rapid.IntRange(1, 1<<s.shape.Experts-1)
	for i := range rapid.IntRange(1, 60).Draw(t, "groups") {
		layer := i % s.shape.Layers
		g := pager.Group{Step: i / s.shape.Layers, Layer: layer}
		mask := seen.Draw(t, "mask")
		for e := range s.shape.Experts {
			if mask>>e&1 == 1 {
				g.Experts = append(g.Experts, s.shape.ID(layer, e))
			}
		}
		s.groups = append(s.groups, g)
	}
	return s
}

// fataler is what *testing.T and *rapid.T share.
type fataler interface{ Fatal(args ...any) }

func (s scenario) run(t fataler, policy pager.Policy, order pager.Order) *recording {
	rec := &recording{}
	p, err := pager.New(pager.Options{
		Shape: s.shape, Slots: s.slots, Policy: policy, Order: order, Observe: rec.observe,
		Uploader: pagertest.NewFake(s.shape, s.slots),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range s.groups {
		if _, err := p.Request(g); err != nil {
			t.Fatal(err)
		}
	}
	rec.stats = p.Stats()
	return rec
}

// recording is what an observer sees.
type recording struct {
	events []pager.Event
	stats  pager.Stats
}

func (r *recording) observe(ev *pager.Event) {
	e := *ev
	e.Hits, e.Misses = slices.Clone(ev.Hits), slices.Clone(ev.Misses)
	e.Prefetches = slices.Clone(ev.Prefetches)
	r.events = append(r.events, e)
}

func (r *recording) equal(o *recording) bool {
	return slices.EqualFunc(r.events, o.events, func(a, b pager.Event) bool {
		return slices.Equal(a.Hits, b.Hits) && slices.Equal(a.Misses, b.Misses) &&
			slices.Equal(a.Prefetches, b.Prefetches)
	})
}

func TestArrayLRUEqualsLRU(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawScenario(t)
		for _, order := range []pager.Order{pager.ResidentFirst, pager.Ascending} {
			var recs [2]*recording
			for i, name := range []string{"lru", "arraylru"} {
				policy, err := pager.NewPolicy(name, s.shape, s.slots)
				if err != nil {
					t.Fatal(err)
				}
				recs[i] = s.run(t, policy, order)
			}
			if !recs[0].equal(recs[1]) {
				t.Fatalf("%v: lru gave %v, arraylru %v", order, recs[0].events, recs[1].events)
			}
		}
	})
}
