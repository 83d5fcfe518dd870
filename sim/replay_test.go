package sim_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ufm/internal/trace"
	"ufm/pager"
	"ufm/sim"

	"github.com/google/go-cmp/cmp"
)

// load reads a trace of the shared test data.
func load(t testing.TB, name string) *trace.Trace {
	t.Helper()
	root := os.Getenv("UFM_TESTDATA")
	if root == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("UFM_TESTDATA is not set")
		}
		t.Skip("UFM_TESTDATA is not set")
	}
	path := filepath.Join(root, filepath.FromSlash(name))
	if strings.HasSuffix(name, ".safetensors") {
		tr, err := trace.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		return tr
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	tr, err := trace.ImportBigMoeOnEdge(f, name)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

const (
	qwen  = "traces/qwen3-30b-a3b.route.csv"
	gemma = "traces/gemma-4-26b-a4b.route.csv"
	tiny  = "models/tiny-qwen3-moe/reference/trace.safetensors"
)

// decoded is the decode phase of a trace.
func decoded(t testing.TB, name string) (pager.Shape, []pager.Group) {
	t.Helper()
	shape, groups := sim.Groups(load(t, name))
	for len(groups) > 0 && groups[0].Phase == pager.Prefill {
		groups = groups[1:]
	}
	return shape, groups
}

// hitRate is in percent, with slots a fraction of the bank.
func hitRate(
	t testing.TB, shape pager.Shape, groups []pager.Group, policy string, fraction float64,
) float64 {
	t.Helper()
	slots := int(fraction * float64(shape.Universe()))
	r, err := sim.Replay(shape, groups, sim.Options{Policy: policy, Slots: slots})
	if err != nil {
		t.Fatal(err)
	}
	return 100 * float64(r.Stats.Hits) / float64(r.Stats.Accesses)
}

var fractions = []float64{.03, .10, .20, .33}

// The rates of lru were also found by other simulators, and those of belady by a scan
// of all residents. (Where a group's own experts may not be evicted, belady falls to
// 44.9 and 44.2 % at the smallest pool.)
func TestHitRates(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		trace, policy string
		want          [4]float64 // by fraction
	}{
		{qwen, "lru", [4]float64{0, 49.89, 73.45, 88.28}},
		{gemma, "lru", [4]float64{0, 48.92, 71.38, 84.95}},
		{qwen, "arraylru", [4]float64{0, 49.89, 73.45, 88.28}},
		{gemma, "arraylru", [4]float64{0, 48.92, 71.38, 84.95}},
		{qwen, "belady", [4]float64{45.36, 74.00, 86.77, 91.57}},
		{gemma, "belady", [4]float64{44.87, 72.65, 84.67, 90.43}},
	} {
		shape, groups := decoded(t, c.trace)
		for i, fraction := range fractions {
			got := hitRate(t, shape, groups, c.policy, fraction)
			if diff := got - c.want[i]; diff < -.01 || diff > .01 {
				t.Errorf("%s, %s, %g of the bank: got %.2f %%, want %.2f %%",
					c.trace, c.policy, fraction, got, c.want[i])
			}
		}
	}
}

func TestNextUseHitRates(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		trace string
		least [4]float64 // by fraction
	}{
		{qwen, [4]float64{29.6, 58.8, 77.2, 88.8}},
		{gemma, [4]float64{29.3, 58.4, 75.6, 86.25}},
		{tiny, [4]float64{14, 40, 61, 78}},
	} {
		shape, groups := decoded(t, c.trace)
		for i, fraction := range fractions {
			got := hitRate(t, shape, groups, "nextuse", fraction)
			lru := hitRate(t, shape, groups, "arraylru", fraction)
			best := hitRate(t, shape, groups, "belady", fraction)
			if got < c.least[i] {
				t.Errorf("%s, %g of the bank: got %.2f %%, want at least %.2f %%",
					c.trace, fraction, got, c.least[i])
			}
			if got < lru || got > best {
				t.Errorf("%s, %g of the bank: got %.2f %%, want between lru's %.2f and belady's %.2f",
					c.trace, fraction, got, lru, best)
			}
			if gap := (got - lru) / (best - lru); fraction == .10 && gap < .35 {
				t.Errorf("%s: nextuse closes %.2f of the gap from lru to belady, want 0.35",
					c.trace, gap)
			}
		}
	}
}

// Each half of a trace on its own, with its cold start.
func TestNextUseBeatsLRUOnHalves(t *testing.T) {
	t.Parallel()
	for _, name := range []string{qwen, gemma, tiny} {
		shape, groups := decoded(t, name)
		groups = groups[:min(len(groups), 16000)]
		for half, part := range [][]pager.Group{groups[:len(groups)/2], groups[len(groups)/2:]} {
			for _, fraction := range fractions {
				got := hitRate(t, shape, part, "nextuse", fraction)
				if lru := hitRate(t, shape, part, "arraylru", fraction); got < lru-.5 {
					t.Errorf("%s, half %d, %g of the bank: got %.2f %%, lru has %.2f %%",
						name, half, fraction, got, lru)
				}
			}
		}
	}
}

func TestBeladyBeatsPoliciesOnTraces(t *testing.T) {
	t.Parallel()
	for _, name := range []string{qwen, gemma, tiny} {
		shape, groups := sim.Groups(load(t, name)) // prefill too
		groups = groups[:min(len(groups), 4000)]
		for _, fraction := range []float64{.01, .05, .5} {
			slots := int(fraction * float64(shape.Universe()))
			best, err := sim.BeladyUploads(shape, slots, groups, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, policy := range pager.PolicyNames() {
				r, err := sim.Replay(shape, groups, sim.Options{Policy: policy, Slots: slots})
				if err != nil {
					t.Fatal(err)
				}
				if r.Stats.Uploads < best {
					t.Errorf("%s, %d slots: %s uploads %d, belady %d",
						name, slots, policy, r.Stats.Uploads, best)
				}
			}
		}
	}
}

// small is a trace of 5 steps over 2 layers: step 0 has 2 tokens.
func small() *trace.Trace {
	return &trace.Trace{
		Layers: 2, Experts: 4, TopK: 2,
		Chosen: []int16{
			0, 1, 3, 2,
			1, 2, -1, -1,
			0, 3, 1, 2,
			2, 0, 0, 1,
			0, 1, 2, 3,
			3, 0, 3, 0,
		},
		StepSizes: []int32{2, 1, 1, 1, 1},
		Phases: []trace.Phase{
			trace.Prefill, trace.Decode, trace.Decode, trace.Decode, trace.Decode,
		},
	}
}

func TestGroups(t *testing.T) {
	shape, groups := sim.Groups(small())
	if want := (pager.Shape{Layers: 2, Experts: 4, TopK: 2}); shape != want {
		t.Errorf("shape: got %+v, want %+v", shape, want)
	}
	want := []pager.Group{
		{Step: 0, Layer: 0, Phase: pager.Prefill, Experts: []pager.ExpertID{0, 1, 2}},
		{Step: 0, Layer: 1, Phase: pager.Prefill, Experts: []pager.ExpertID{6, 7}},
		{Step: 1, Layer: 0, Phase: pager.Decode, Experts: []pager.ExpertID{0, 3}},
	}
	if diff := cmp.Diff(want, groups[:3]); diff != "" || len(groups) != 10 {
		t.Errorf("%d groups, want 10; the first (-want +got):\n%s", len(groups), diff)
	}
}

// Counting from a group on gives the rest of what counting from the start gives.
func TestReplayWindow(t *testing.T) {
	shape, groups := sim.Groups(small())
	for _, policy := range []string{"", "lru", "belady"} {
		replay := func(groups []pager.Group, from int) pager.Stats {
			t.Helper()
			r, err := sim.Replay(shape, groups, sim.Options{Policy: policy, Slots: 3, From: from})
			if err != nil {
				t.Fatal(err)
			}
			return r.Stats
		}
		all := replay(groups, 0)
		for from := range len(groups) + 1 {
			window := replay(groups, from)
			if window.Groups != int64(len(groups)-from) {
				t.Errorf("from %d: got %d groups, want %d", from, window.Groups, len(groups)-from)
			}
			if policy == "belady" {
				continue // knows less where there are fewer groups
			}
			if diff := cmp.Diff(all.Sub(replay(groups[:from], 0)), window); diff != "" {
				t.Errorf("%q from %d (-want +got):\n%s", policy, from, diff)
			}
		}
	}
}

func TestReplayLog(t *testing.T) {
	shape, groups := sim.Groups(small())
	for _, order := range []pager.Order{pager.ResidentFirst, pager.Ascending} {
		var b bytes.Buffer
		r, err := sim.Replay(shape, groups, sim.Options{
			Policy: "nextuse:window=5", Slots: 3, Order: order, From: 4, Log: &b, Seed: 9,
		})
		if err != nil {
			t.Fatal(err)
		}
		if r.Policy != "nextuse:window=5" || r.Slots != 3 {
			t.Errorf("got policy %s, %d slots, want nextuse:window=5, 3", r.Policy, r.Slots)
		}
		log, err := pager.ReadLog(&b)
		if err != nil {
			t.Fatal(err)
		}
		want := pager.LogHeader{
			Version: 1, Shape: shape, Policy: "nextuse:window=5", Slots: 3,
			Order: order.String(), Seed: 9,
		}
		if got := log.Header(); got != want {
			t.Errorf("header: got %+v, want %+v", got, want)
		}
		lines := 0
		for ; err == nil; lines++ {
			_, err = log.Next()
		}
		if err != io.EOF || lines-1 != len(groups) {
			t.Errorf("got %d events, then error %v, want %d and the end", lines-1, err, len(groups))
		}
	}
}

func TestReplayErrors(t *testing.T) {
	shape, groups := sim.Groups(small())
	bad := append(groups[:2:2], pager.Group{Layer: 1, Experts: []pager.ExpertID{0}})
	for _, c := range []struct {
		groups []pager.Group
		opts   sim.Options
		want   string
	}{
		{groups, sim.Options{Policy: "none", Slots: 2}, `policy "none" is unknown`},
		{groups, sim.Options{Slots: 0}, "slots: 0"},
		{groups, sim.Options{Policy: "belady", Slots: 0}, "slots: 0"},
		{groups, sim.Options{Slots: 2, From: 11}, "first counted group 11 of 10"},
		{groups, sim.Options{Slots: 2, From: -1}, "first counted group -1"},
		{bad, sim.Options{Slots: 2}, "sim: group 2: pager: group of step 0, layer 1: expert 0"},
		{groups, sim.Options{Slots: 2, Log: brokenWriter{}}, "event log: broken"},
	} {
		_, err := sim.Replay(shape, c.groups, c.opts)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got error %v, want one with %q", c.opts, err, c.want)
		}
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, fmt.Errorf("broken") }
