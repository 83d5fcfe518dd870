package pager_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"ufm/pager"
	"ufm/pager/pagertest"

	"github.com/google/go-cmp/cmp"
)

var small = pager.Shape{Layers: 2, Experts: 4, TopK: 2}

// newPager makes a pager on small with lru, an uploader that checks, and a recording.
func newPager(t *testing.T, slots int, order pager.Order) (
	*pager.Pager, *pagertest.Fake, *recording,
) {
	t.Helper()
	fake, rec := pagertest.NewFake(small, slots), &recording{}
	p, err := pager.New(pager.Options{
		Shape: small, Slots: slots, Order: order, Policy: newPolicy(t, "lru", small, slots),
		Uploader: fake, Observe: rec.observe,
	})
	if err != nil {
		t.Fatal(err)
	}
	return p, fake, rec
}

// request returns the plan in words: "3@1" a hit in slot 1, "+3@1" a miss that takes
// it, "+3@1-5" a miss that evicts 5.
func request(t *testing.T, p *pager.Pager, layer int, experts ...pager.ExpertID) string {
	t.Helper()
	plan, err := p.Request(pager.Group{Layer: layer, Experts: experts})
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for _, a := range plan.Accesses {
		w := fmt.Sprintf("%d@%d", a.Expert, a.Slot)
		if !a.Hit {
			w = "+" + w
		}
		if a.Evicted != pager.NoExpert {
			w += fmt.Sprintf("-%d", a.Evicted)
		}
		words = append(words, w)
	}
	return strings.Join(words, " ")
}

func prefetch(t *testing.T, p *pager.Pager, experts ...pager.ExpertID) {
	t.Helper()
	if err := p.Prefetch(experts); err != nil {
		t.Fatal(err)
	}
}

func TestRequest(t *testing.T) {
	type step struct {
		layer   int
		experts []pager.ExpertID
		want    string
	}
	ids := func(e ...pager.ExpertID) []pager.ExpertID { return e }
	for _, c := range []struct {
		name  string
		slots int
		order pager.Order
		steps []step
	}{
		{"free slots from the lowest", 3, pager.ResidentFirst, []step{
			{0, ids(1, 3), "+1@0 +3@1"}, {1, ids(4), "+4@2"}, {1, ids(5), "+5@0-1"},
		}},
		{"hits before misses", 3, pager.ResidentFirst, []step{
			{0, ids(2, 3), "+2@0 +3@1"}, {0, ids(0, 1, 2), "2@0 +0@2 +1@1-3"},
		}},
		{"a hit of the group may be evicted after its turn", 2, pager.ResidentFirst, []step{
			{0, ids(2, 3), "+2@0 +3@1"}, {0, ids(0, 1, 3), "3@1 +0@0-2 +1@1-3"},
		}},
		{"a group larger than the pool runs through it", 2, pager.ResidentFirst, []step{
			{0, ids(0, 1, 2, 3), "+0@0 +1@1 +2@0-0 +3@1-1"},
			{0, ids(0, 1, 2, 3), "2@0 3@1 +0@0-2 +1@1-3"},
		}},
		{"one slot", 1, pager.ResidentFirst, []step{
			{0, ids(0, 1), "+0@0 +1@0-0"}, {0, ids(0, 1), "1@0 +0@0-1"},
		}},
		{"ascending: a hit becomes a miss", 2, pager.Ascending, []step{
			{0, ids(2, 3), "+2@0 +3@1"}, {0, ids(0, 2), "+0@0-2 +2@1-3"},
		}},
		{"ascending: hits and misses mixed", 3, pager.Ascending, []step{
			{0, ids(1, 2), "+1@0 +2@1"}, {0, ids(0, 1, 3), "+0@2 1@0 +3@1-2"},
		}},
		{"ascending: a loop hits nothing", 3, pager.Ascending, []step{
			{0, ids(0, 1, 2, 3), "+0@0 +1@1 +2@2 +3@0-0"},
			{0, ids(0, 1, 2, 3), "+0@1-1 +1@2-2 +2@0-3 +3@1-0"},
		}},
		{"more slots than experts", 99, pager.ResidentFirst, []step{
			{1, ids(7), "+7@0"}, {1, ids(6, 7), "7@0 +6@1"},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, _, _ := newPager(t, c.slots, c.order)
			for i, s := range c.steps {
				if got := request(t, p, s.layer, s.experts...); got != s.want {
					t.Errorf("group %d: got %q, want %q", i, got, s.want)
				}
			}
		})
	}
}

func TestUploadIsOneBatchAGroup(t *testing.T) {
	p, fake, _ := newPager(t, 2, pager.Ascending)
	request(t, p, 0, 0, 1, 2)
	request(t, p, 0, 2)
	prefetch(t, p, 4, 5)
	prefetch(t, p, 4, 5)
	if fake.Batches != 2 || fake.Uploads != 5 {
		t.Errorf("got %d batches of %d uploads, want 2 of 5", fake.Batches, fake.Uploads)
	}
}

func TestEvents(t *testing.T) {
	p, _, rec := newPager(t, 3, pager.ResidentFirst)
	prefetch(t, p, 1)
	request(t, p, 0, 0, 1)
	prefetch(t, p, 4, 1, 99)
	request(t, p, 1, 5)
	up := func(e pager.ExpertID, s pager.Slot, old pager.ExpertID) pager.Upload {
		return pager.Upload{Expert: e, Slot: s, Evicted: old}
	}
	want := []pager.Event{{
		Hits: []pager.ExpertID{1}, Misses: []pager.Upload{up(0, 1, pager.NoExpert)},
		Prefetches: []pager.Prefetch{{Upload: up(1, 0, pager.NoExpert), Before: 0}},
	}, {
		Seq: 1, Layer: 1,
		Misses: []pager.Upload{up(5, 0, 1)},
		Prefetches: []pager.Prefetch{
			{Upload: up(1, 0, 1), Before: 1}, // was there; noted before the one that was not
			{Upload: up(4, 2, pager.NoExpert), Before: 1},
		},
	}}
	for i := range rec.events {
		if len(rec.events[i].Hits) == 0 {
			rec.events[i].Hits = nil
		}
	}
	if diff := cmp.Diff(want, rec.events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if got := want[1].Prefetches; got[0].Issued() || !got[1].Issued() {
		t.Errorf("issued: got %v and %v, want false and true", got[0].Issued(), got[1].Issued())
	}
}

func TestPrefetchKeepsItsOwn(t *testing.T) {
	p, _, rec := newPager(t, 2, pager.ResidentFirst)
	request(t, p, 0, 0, 1)
	// 0 is the oldest and would go first, but was asked for; 2 takes the slot of 1; then
	// all slots hold what was asked for, and 3 is dropped, also by a second call.
	prefetch(t, p, 2, 0, 3)
	prefetch(t, p, 3)
	request(t, p, 0, 0, 2)
	got := fmt.Sprint(rec.events[1].Prefetches)
	drop := pager.Upload{Expert: 3, Slot: -1, Evicted: pager.NoExpert}
	want := fmt.Sprint([]pager.Prefetch{
		{Upload: pager.Upload{Expert: 0, Slot: 0, Evicted: 0}, Before: 1},
		{Upload: pager.Upload{Expert: 2, Slot: 1, Evicted: 1}, Before: 1},
		{Upload: drop, Before: 1}, {Upload: drop, Before: 1},
	})
	if got != want {
		t.Errorf("prefetches: got %s, want %s", got, want)
	}
	if rec.events[1].Prefetches[2].Issued() {
		t.Error("a dropped prefetch counts as issued")
	}
	// The next group frees them again.
	prefetch(t, p, 3)
	if got := request(t, p, 0, 3); got != "3@0" {
		t.Errorf("after the group: got %q, want %q", got, "3@0")
	}
}

func TestStats(t *testing.T) {
	p, fake, _ := newPager(t, 3, pager.ResidentFirst)
	request(t, p, 0, 0, 1) // 2 misses
	prefetch(t, p, 4)      // used below, late
	fake.Pending = true    // nothing finishes
	request(t, p, 1, 4)    // hit
	fake.Pending = false   //
	prefetch(t, p, 5)      // evicts 0; used below, in time
	request(t, p, 1, 4, 5) // 2 hits
	prefetch(t, p, 6)      // evicts 1; wasted
	request(t, p, 0, 1, 2) // 2 misses, evict 4 and 5
	request(t, p, 0, 0)    // evicts 6
	before := p.Stats()
	want := pager.Stats{
		Groups: 5, Accesses: 8, Hits: 3, LateHits: 1, Misses: 5, Uploads: 8, Evictions: 5,
		Prefetches: 3, PrefetchUsed: 2, PrefetchWasted: 1,
	}
	if diff := cmp.Diff(want, before); diff != "" {
		t.Errorf("stats (-want +got):\n%s", diff)
	}
	request(t, p, 0, 0, 3)
	want = pager.Stats{Groups: 1, Accesses: 2, Hits: 1, Misses: 1, Uploads: 1, Evictions: 1}
	if diff := cmp.Diff(want, p.Stats().Sub(before)); diff != "" {
		t.Errorf("stats since (-want +got):\n%s", diff)
	}
}

func TestResident(t *testing.T) {
	p, _, _ := newPager(t, 3, pager.ResidentFirst)
	request(t, p, 1, 5, 6)
	want := []pager.ExpertID{5, 6, pager.NoExpert}
	if diff := cmp.Diff(want, p.Resident()); diff != "" {
		t.Errorf("residents (-want +got):\n%s", diff)
	}
	if s, ok := p.SlotOf(6); s != 1 || !ok {
		t.Errorf("expert 6: got slot %d, %v, want 1, true", s, ok)
	}
	if _, ok := p.SlotOf(7); ok || p.Full() {
		t.Errorf("expert 7: resident %v; pool: full %v; want neither", ok, p.Full())
	}
}

func TestNewErrors(t *testing.T) {
	for _, c := range []struct {
		opts pager.Options
		want []string
	}{
		{pager.Options{}, []string{"0 layers of 0 experts", "slots: 0, want at least 1"}},
		{pager.Options{Shape: small, Slots: -1}, []string{"slots: -1"}},
		{pager.Options{Shape: small, Slots: 1, Order: 2}, []string{"order: 2 is unknown"}},
		{pager.Options{Shape: pager.Shape{Layers: 1 << 20, Experts: 1 << 20}, Slots: 1},
			[]string{"more than 16777216"}},
		{pager.Options{Shape: pager.Shape{Layers: 1, Experts: 2, TopK: 3}, Slots: 1},
			[]string{"top-k 3 of 2"}},
	} {
		_, err := pager.New(c.opts)
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%+v: got error %v, want one with %q", c.opts, err, want)
			}
		}
	}
}

func TestGroupErrorsChangeNothing(t *testing.T) {
	p, _, _ := newPager(t, 2, pager.ResidentFirst)
	for _, c := range []struct {
		layer   int
		experts []pager.ExpertID
		want    string
	}{
		{0, nil, "layer 0: no experts"},
		{2, []pager.ExpertID{0}, "layer 2, want 0 to 1"},
		{-1, []pager.ExpertID{0}, "layer -1"},
		{1, []pager.ExpertID{3}, "expert 3, want 4 to 7"},
		{0, []pager.ExpertID{4}, "expert 4, want 0 to 3"},
		{0, []pager.ExpertID{pager.NoExpert}, "want 0 to 3"},
		{0, []pager.ExpertID{1, 1}, "expert 1 after 1, want ascending"},
		{0, []pager.ExpertID{2, 1}, "expert 1 after 2"},
	} {
		_, err := p.Request(pager.Group{Step: 9, Layer: c.layer, Experts: c.experts})
		if err == nil || !strings.Contains(err.Error(), c.want) ||
			!strings.Contains(err.Error(), "step 9") {
			t.Errorf("layer %d, %v: got error %v, want one with %q", c.layer, c.experts, err, c.want)
		}
	}
	if got := p.Stats(); got != (pager.Stats{}) {
		t.Errorf("stats: got %+v, want none", got)
	}
}

func TestUploadErrorIsFinal(t *testing.T) {
	broken := errors.New("link is down")
	p, fake, rec := newPager(t, 2, pager.ResidentFirst)
	request(t, p, 0, 0)
	fake.Err = broken
	_, err := p.Request(pager.Group{Step: 3, Layer: 1, Experts: []pager.ExpertID{4}})
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "step 3, layer 1") {
		t.Errorf("got error %v, want %v with step and layer", err, broken)
	}
	fake.Err = nil
	if _, err := p.Request(pager.Group{Experts: []pager.ExpertID{0}}); !errors.Is(err, broken) {
		t.Errorf("next request: got error %v, want %v", err, broken)
	}
	if err := p.Prefetch([]pager.ExpertID{1}); !errors.Is(err, broken) {
		t.Errorf("next prefetch: got error %v, want %v", err, broken)
	}
	if len(rec.events) != 2 {
		t.Errorf("got %d events, want the 2 groups that were decided", len(rec.events))
	}
}

func TestPrefetchErrorIsFinal(t *testing.T) {
	broken := errors.New("link is down")
	p, fake, _ := newPager(t, 2, pager.ResidentFirst)
	fake.Err = broken
	if err := p.Prefetch([]pager.ExpertID{1}); !errors.Is(err, broken) {
		t.Errorf("got error %v, want %v", err, broken)
	}
	if _, err := p.Request(pager.Group{Experts: []pager.ExpertID{0}}); !errors.Is(err, broken) {
		t.Errorf("next request: got error %v, want %v", err, broken)
	}
}

// liar evicts what is not resident.
type liar struct{ pager.Policy }

func (liar) Evict() pager.ExpertID { return 3 }

func TestLyingPolicyPanics(t *testing.T) {
	p, err := pager.New(pager.Options{
		Shape: small, Slots: 1, Policy: liar{newPolicy(t, "lru", small, 1)},
	})
	if err != nil {
		t.Fatal(err)
	}
	request(t, p, 0, 0)
	defer func() {
		if got := fmt.Sprint(recover()); !strings.Contains(got, "evicts expert 3") {
			t.Errorf("got panic %q, want one that names the expert", got)
		}
	}()
	request(t, p, 0, 1)
}

func TestStatsFromOtherGoroutines(t *testing.T) {
	p, _, _ := newPager(t, 2, pager.ResidentFirst)
	stop := make(chan struct{})
	var reader sync.WaitGroup
	reader.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if s := p.Stats(); s.Hits+s.Misses != s.Accesses {
				t.Errorf("snapshot %+v: hits and misses are not the accesses", s)
				return
			}
		}
	})
	for i := range 2000 {
		request(t, p, 0, pager.ExpertID(i%3), 3)
	}
	close(stop)
	reader.Wait()
}

func Example() {
	shape := pager.Shape{Layers: 2, Experts: 4, TopK: 2}
	p, err := pager.New(pager.Options{Shape: shape, Slots: 3})
	if err != nil {
		fmt.Println(err)
		return
	}
	for step := range 2 {
		for layer := range 2 {
			plan, err := p.Request(pager.Group{
				Step: step, Layer: layer, Phase: pager.Decode,
				Experts: []pager.ExpertID{shape.ID(layer, 0), shape.ID(layer, 3)},
			})
			if err != nil {
				fmt.Println(err)
				return
			}
			for _, a := range plan.Accesses {
				fmt.Printf("step %d: expert %d in slot %d, hit %v\n", step, a.Expert, a.Slot, a.Hit)
			}
		}
	}
	// Output:
	// step 0: expert 0 in slot 0, hit false
	// step 0: expert 3 in slot 1, hit false
	// step 0: expert 4 in slot 2, hit false
	// step 0: expert 7 in slot 2, hit false
	// step 1: expert 0 in slot 0, hit true
	// step 1: expert 3 in slot 1, hit true
	// step 1: expert 7 in slot 2, hit true
	// step 1: expert 4 in slot 2, hit false
}
