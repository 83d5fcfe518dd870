package sim_test

import (
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
	files := map[string]string{
		"tiny_public": tiny, "qwen3-30b-a3b decode": qwen, "gemma-4-26b-a4b decode": gemma,
	}
	for name, file := range files {
		shape, groups := sim.FlatGroups(load(t, file))
		for len(groups) > 0 && groups[0].Phase == pager.Prefill && strings.HasSuffix(name, "decode") {
			groups = groups[1:]
		}
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
				r, err := sim.Replay(shape, groups, sim.Options{Policy: policy, Slots: slots})
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

func TestMinRefusesGroups(t *testing.T) {
	shape, groups := sim.Groups(small())
	_, err := sim.Replay(shape, groups, sim.Options{Policy: "min", Slots: 2})
	if err == nil || !strings.Contains(err.Error(), "group 0 has 3 experts") {
		t.Errorf("got error %v, want one that tells of group 0", err)
	}
}
