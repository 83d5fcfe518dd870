package sim_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"ufm/pager"
	"ufm/sim"
)

// The miss ratios of single accesses, against those of an independent simulator.
func TestFlatMatchesGolden(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"tiny_public": tiny, "qwen3-30b-a3b decode": qwen, "gemma-4-26b-a4b decode": gemma,
	}
	for name, file := range files {
		tr := load(t, file)
		shape, groups := sim.FlatGroups(tr)
		for len(groups) > 0 && groups[0].Phase == pager.Prefill && strings.HasSuffix(name, "decode") {
			groups = groups[1:]
		}
		_, accesses := sim.Accesses(tr)
		accesses = accesses[len(accesses)-len(groups):]
		want := goldenRatios(t)[name]
		if len(groups) != want.Requests || len(want.Ratios) == 0 {
			t.Fatalf("%s: got %d accesses, want %d", name, len(groups), want.Requests)
		}
		for policy, cells := range want.Ratios {
			if policy == "belady" {
				policy = "min"
			}
			for text, ratio := range cells {
				slots, err := strconv.Atoi(text)
				if err != nil {
					t.Fatal(err)
				}
				r, err := sim.ReplayFlat(shape, accesses, sim.Options{Policy: policy, Slots: slots})
				if err != nil {
					t.Fatal(err)
				}
				got := float64(r.Stats.Misses) / float64(r.Stats.Accesses)
				if got, want := fmt.Sprintf("%.4f", got), fmt.Sprintf("%.4f", ratio); got != want {
					t.Errorf("%s, %s, %d slots: got miss ratio %s, want %s",
						name, policy, slots, got, want)
				}
			}
		}
	}
}

type goldenTrace struct {
	Requests int                           `json:"requests"`
	Ratios   map[string]map[string]float64 `json:"miss_ratio"` // by policy and slots
}

func goldenRatios(t *testing.T) map[string]goldenTrace {
	t.Helper()
	path := filepath.Join(os.Getenv("UFM_TESTDATA"), "traces", "libcachesim-golden.json")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Traces map[string]goldenTrace `json:"traces"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	return file.Traces
}

// The fast way through single accesses against the pager's way through groups of one.
func TestReplayFlatEqualsReplay(t *testing.T) {
	t.Parallel()
	shape, groups := sim.FlatGroups(load(t, qwen))
	_, accesses := sim.Accesses(load(t, qwen))
	groups, accesses = groups[:12000], accesses[:12000]
	for _, p := range sim.Policies() {
		if p.Name == sim.Published {
			continue // an order of groups, which single accesses do not have
		}
		opts := sim.Options{Policy: p.Name, Slots: 300, From: 5000}
		got, err := sim.ReplayFlat(shape, accesses, opts)
		if err != nil {
			t.Fatal(err)
		}
		want, err := sim.Replay(shape, groups, opts)
		if err != nil {
			t.Fatal(err)
		}
		if got.Stats != want.Stats || got.Slots != want.Slots || got.Policy != p.Name {
			t.Errorf("%s: got %+v, want %+v", p.Name, got, want)
		}
	}
}

func TestReplayFlatErrors(t *testing.T) {
	shape, accesses := sim.Accesses(small())
	for _, c := range []struct {
		opts sim.Options
		want string
	}{
		{sim.Options{Policy: "none", Slots: 2}, `policy "none" is unknown`},
		{sim.Options{Slots: 0}, "slots: 0"},
		{sim.Options{Slots: 2, From: len(accesses) + 1}, "first counted access"},
		{sim.Options{Slots: 2, Log: &bytes.Buffer{}}, "replay FlatGroups instead"},
	} {
		_, err := sim.ReplayFlat(shape, accesses, c.opts)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got error %v, want one with %q", c.opts, err, c.want)
		}
	}
}

func TestMinRefusesGroups(t *testing.T) {
	shape, groups := sim.Groups(small())
	_, err := sim.Replay(shape, groups, sim.Options{Policy: "min", Slots: 2})
	if err == nil || !strings.Contains(err.Error(), "group 0 has 3 experts") {
		t.Errorf("got error %v, want one that tells of group 0", err)
	}
}
