package sim_test

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"ufm/pager"
	"ufm/pager/pagertest"
	"ufm/sim"
)

// record runs a pager with an uploader over groups, with random prefetches between
// them if ahead is set, and returns its event log.
func record(
	t *testing.T, shape pager.Shape, groups []pager.Group,
	policy string, slots int, order pager.Order, ahead bool,
) string {
	t.Helper()
	made, err := pager.NewPolicy(policy, shape, slots)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	var log *pager.Log
	p, err := pager.New(pager.Options{
		Shape: shape, Slots: slots, Order: order, Policy: made,
		Uploader: pagertest.NewFake(shape, slots),
		Observe:  func(ev *pager.Event) { log.Observe(ev) },
	})
	if err != nil {
		t.Fatal(err)
	}
	log = pager.NewLog(&b, p.Header(1))
	rng := rand.New(rand.NewPCG(1, 0))
	for _, g := range groups {
		for range 3 {
			var experts []pager.ExpertID
			for range rng.IntN(4) {
				experts = append(experts, pager.ExpertID(rng.IntN(shape.Universe()+2)))
			}
			if !ahead {
				break
			}
			if err := p.Prefetch(experts); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := p.Request(g); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestCheckAccepts(t *testing.T) {
	t.Parallel()
	tr := small()
	shape, groups := sim.Groups(tr)
	for _, policy := range pager.PolicyNames() {
		for slots := 1; slots <= shape.Universe(); slots++ {
			for _, order := range []pager.Order{pager.ResidentFirst, pager.Ascending} {
				for _, ahead := range []bool{false, true} {
					log := record(t, shape, slices.Concat(groups, groups), policy, slots, order, ahead)
					if diff, err := sim.Check(strings.NewReader(log)); diff != nil || err != nil {
						t.Fatalf("%s, %d slots, %v, prefetches %v: got %v, %v, want no difference\n%s",
							policy, slots, order, ahead, diff, err, log)
					}
				}
			}
		}
		log := record(t, shape, groups, policy, 3, pager.ResidentFirst, true)
		if diff, err := sim.CheckTrace(strings.NewReader(log), tr); diff != nil || err != nil {
			t.Errorf("%s against the trace: got %v, %v, want no difference", policy, diff, err)
		}
	}
}

func TestCheckLargeRun(t *testing.T) {
	shape := pager.Shape{Layers: 6, Experts: 40, TopK: 4}
	rng := rand.New(rand.NewPCG(2, 0))
	var groups []pager.Group
	for i := range 600 {
		g := pager.Group{Step: i / 6, Layer: i % 6}
		for _, e := range rng.Perm(40)[:1+rng.IntN(30)] {
			g.Experts = append(g.Experts, shape.ID(g.Layer, e))
		}
		slices.Sort(g.Experts)
		groups = append(groups, g)
	}
	for _, policy := range []string{"nextuse", "lru"} {
		log := record(t, shape, groups, policy, 57, pager.ResidentFirst, true)
		if diff, err := sim.Check(strings.NewReader(log)); diff != nil || err != nil {
			t.Errorf("%s: got %v, %v, want no difference", policy, diff, err)
		}
	}
}

// golden is what lru does with the trace small and two slots; a prefetch is added.
const golden = `{"version":1,"shape":{"layers":2,"experts":4,"top_k":2},"policy":"lru","slots":2,"order":"resident-first","seed":1}
{"step":0,"layer":0,"phase":"prefill","hits":[],"misses":[[0,0,-1],[1,1,-1],[2,0,0]]}
{"step":0,"layer":1,"phase":"prefill","hits":[6],"misses":[[7,0,2]],"prefetches":[[6,1,1,1]]}
{"step":1,"layer":0,"phase":"decode","hits":[],"misses":[[0,1,6],[3,0,7]]}
{"step":1,"layer":1,"phase":"decode","hits":[],"misses":[[5,1,0],[6,0,3]]}
{"step":2,"layer":0,"phase":"decode","hits":[],"misses":[[0,1,5],[2,0,6]]}
{"step":2,"layer":1,"phase":"decode","hits":[],"misses":[[4,1,0],[5,0,2]]}
{"step":3,"layer":0,"phase":"decode","hits":[],"misses":[[0,1,4],[1,0,5]]}
{"step":3,"layer":1,"phase":"decode","hits":[],"misses":[[6,1,0],[7,0,1]]}
{"step":4,"layer":0,"phase":"decode","hits":[],"misses":[[0,1,6],[3,0,7]]}
{"step":4,"layer":1,"phase":"decode","hits":[],"misses":[[4,1,0],[7,0,3]]}
`

func TestCheckFindsDifferences(t *testing.T) {
	for _, c := range []struct {
		name, old, new string
		want           string // "": no difference
	}{
		{"nothing", "", "", ""},
		{"hit for a miss", `"hits":[],"misses":[[0,1,6],[3,0,7]]}
{"step":1,"layer":1`, `"hits":[0],"misses":[[3,0,7]]}
{"step":1,"layer":1`,
			"line 4: group 2 (step 1, layer 0, decode): expert 0 is a miss in the replay, a hit in the log"},
		{"miss for a hit", `"hits":[6],"misses":[[7,0,2]]`, `"hits":[],"misses":[[6,1,1],[7,0,2]]`,
			"line 3: group 1 (step 0, layer 1, prefill): expert 6 is a hit in the replay, a miss in the log"},
		{"slot", `[5,1,0]`, `[5,0,0]`,
			"line 5: group 3 (step 1, layer 1, decode): miss of expert 5: the replay evicted expert 0 " +
				"from slot 1, the log says that it evicted expert 0 from slot 0"},
		{"victim", `[4,1,0],[5,0,2]`, `[4,1,1],[5,0,2]`,
			"line 7: group 5 (step 2, layer 1, decode): miss of expert 4: the replay evicted expert 0 " +
				"from slot 1, the log says that it evicted expert 1 from slot 1"},
		{"free slot", `[2,0,0]`, `[2,0,-1]`,
			"line 2: group 0 (step 0, layer 0, prefill): miss of expert 2: the replay evicted expert 0 " +
				"from slot 0, the log says that it filled free slot 0"},
		{"order of misses", `[0,0,-1],[1,1,-1]`, `[1,1,-1],[0,0,-1]`,
			"line 2: group 0 (step 0, layer 0, prefill): miss 0 is expert 0 in the replay, " +
				"expert 1 in the log"},
		{"prefetch's slot", `[6,1,1,1]`, `[6,0,1,1]`,
			"line 3: group 1 (step 0, layer 1, prefill): prefetch of expert 6: the replay evicted " +
				"expert 1 from slot 1 before group 1, the log says that it evicted expert 1 from slot 0 " +
				"before group 1"},
		{"prefetch's group", `[6,1,1,1]`, `[6,1,1,2]`,
			"line 3: group 1 (step 0, layer 1, prefill): prefetch of expert 6: the replay evicted " +
				"expert 1 from slot 1 before group 1, the log says that it evicted expert 1 from slot 1 " +
				"before group 2"},
		{"prefetch that was not needed", `[6,1,1,1]`, `[6,1,6,1]`,
			"line 3: group 1 (step 0, layer 1, prefill): prefetch of expert 6: the replay evicted " +
				"expert 1 from slot 1 before group 1, the log says that it found it in slot 1 before group 1"},
		{"prefetch that was dropped", `[6,1,1,1]`, `[6,-1,-1,1]`,
			"line 3: group 1 (step 0, layer 1, prefill): prefetch of expert 6: the replay evicted " +
				"expert 1 from slot 1 before group 1, the log says that it found no slot before group 1"},
		{"another policy", `"lru"`, `"nextuse"`, "line 3: group 1 (step 0, layer 1, prefill): "},
		{"another order", `"resident-first"`, `"ascending"`, ""},
		{"more slots", `"slots":2`, `"slots":3`,
			"line 2: group 0 (step 0, layer 0, prefill): miss of expert 2: the replay filled free slot 2, " +
				"the log says that it evicted expert 0 from slot 0"},
	} {
		if !strings.Contains(golden, c.old) {
			t.Fatalf("%s: the golden log has no %q", c.name, c.old)
		}
		diff, err := sim.Check(strings.NewReader(strings.Replace(golden, c.old, c.new, 1)))
		if err != nil {
			t.Errorf("%s: got error %v", c.name, err)
			continue
		}
		got := ""
		if diff != nil {
			got = diff.String()
		}
		if c.want == "" && got != "" || !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: got difference\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
}

func TestCheckTraceFindsDifferences(t *testing.T) {
	lines := strings.SplitAfter(golden, "\n")
	for _, c := range []struct {
		name, log, want string
	}{
		{"nothing", golden, ""},
		{"shape", strings.Replace(golden, `"top_k":2`, `"top_k":1`, 1),
			"line 1: the log is of 2 layers of 4 experts, top-1, the trace of 2 layers of 4 experts, top-2"},
		{"short", strings.Join(lines[:10], ""), "line 11: the log ends after 9 groups, the trace has 10"},
		{"long", golden + lines[10], "line 12: the log goes on after the trace's 10 groups"},
		{"step", strings.Replace(golden, `"step":4`, `"step":5`, 1),
			"line 10: group 8 (step 4, layer 0, decode): the log tells of step 5, layer 0, decode"},
		{"phase", strings.Replace(golden, `"prefill"`, `"decode"`, 1),
			"line 2: group 0 (step 0, layer 0, prefill): the log tells of step 0, layer 0, decode"},
		{"expert", strings.Replace(golden, `[4,1,0],[5,0,2]`, `[5,1,0],[6,0,2]`, 1),
			"line 7: group 5 (step 2, layer 1, decode): expert 4 belongs to the group, the log leaves it out"},
		{"more experts", strings.Replace(golden, `"hits":[6]`, `"hits":[5,6]`, 1),
			"line 3: group 1 (step 0, layer 1, prefill): expert 5 stands in the log, " +
				"but does not belong to the group"},
		{"twice", strings.Replace(golden, `"hits":[6]`, `"hits":[6,6]`, 1),
			"line 3: group 1 (step 0, layer 1, prefill): expert 6 stands in the log twice"},
	} {
		diff, err := sim.CheckTrace(strings.NewReader(c.log), small())
		if err != nil {
			t.Errorf("%s: got error %v", c.name, err)
			continue
		}
		got := ""
		if diff != nil {
			got = diff.String()
		}
		if got != c.want {
			t.Errorf("%s: got difference\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
}

// A log of belady needs the trace, which tells the future.
func TestCheckBelady(t *testing.T) {
	tr := small()
	shape, groups := sim.Groups(tr)
	var b bytes.Buffer
	_, err := sim.Replay(shape, groups, sim.Options{Policy: "belady", Slots: 3, Log: &b})
	if err != nil {
		t.Fatal(err)
	}
	if diff, err := sim.CheckTrace(bytes.NewReader(b.Bytes()), tr); diff != nil || err != nil {
		t.Errorf("with the trace: got %v, %v, want no difference", diff, err)
	}
	if _, err := sim.Check(&b); err == nil || !strings.Contains(err.Error(), "future") {
		t.Errorf("without: got error %v, want one that tells of the future", err)
	}
}

func TestCheckErrors(t *testing.T) {
	for _, c := range []struct {
		name, log, want string
	}{
		{"empty", "", "empty"},
		{"policy", strings.Replace(golden, `"lru"`, `"lur"`, 1), `policy "lur" is unknown`},
		{"line", strings.Replace(golden, `[[0,0,-1]`, `[[0,0]`, 1), "line 2: miss [0 0]"},
		{"group", strings.Replace(golden, `"hits":[6]`, `"hits":[6,6]`, 1),
			"line 3: pager: group of step 0, layer 1: expert 6 after 6"},
		{"layer", strings.Replace(golden, `"step":1,"layer":1`, `"step":1,"layer":0`, 1),
			"line 5: pager: group of step 1, layer 0: expert 5"},
		{"no experts", strings.Replace(golden, `[[5,1,0],[6,0,3]]`, `[]`, 1), "layer 1: no experts"},
	} {
		_, err := sim.Check(strings.NewReader(c.log))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got error %v, want one with %q", c.name, err, c.want)
		}
		if _, err := sim.CheckTrace(strings.NewReader(c.log), small()); err == nil && c.name == "line" {
			t.Error("broken line with a trace: got no error")
		}
	}
}
