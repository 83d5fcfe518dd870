package trace

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Distances equal those of a plain list in the order of last use.
func TestReuse(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		const bank = 6
		measured := newReuse(bank)
		var recent []int // the latest first
		for i, e := range rapid.SliceOf(rapid.IntRange(0, bank-1)).Draw(r, "uses") {
			want := slices.Index(recent, e)
			if got := measured.use(e); got != want {
				r.Fatalf("use %d, of %d after %v: got distance %d, want %d", i, e, recent, got, want)
			}
			if want >= 0 {
				recent = slices.Delete(recent, want, want+1)
			}
			recent = slices.Insert(recent, 0, e)
		}
	})
}

// An access whose distance is below the slots is an LRU hit: the counts are those that
// libCacheSim measured.
func TestReuseIsLRU(t *testing.T) {
	root := os.Getenv("UFM_TESTDATA")
	if root == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("UFM_TESTDATA is not set")
		}
		t.Skip("UFM_TESTDATA is not set")
	}
	raw, err := os.ReadFile(filepath.Join(root, "traces", "libcachesim-golden.json"))
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Traces map[string]struct {
			MissRatio map[string]map[string]float64 `json:"miss_ratio"`
		} `json:"traces"`
	}
	if err := json.Unmarshal(raw, &golden); err != nil {
		t.Fatal(err)
	}
	tr, err := Open(filepath.Join(root, "models", "tiny-qwen3-moe", "reference", "trace.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	y := newTally(0)
	r := newReuse(tr.Layers * tr.Experts)
	for i, e := range tr.Chosen {
		if d := r.use(i/tr.TopK%tr.Layers*tr.Experts + int(e)); d >= 0 {
			y.distances.add(d, 1)
		}
	}
	ratios := golden.Traces["tiny_public"].MissRatio["lru"]
	if len(ratios) == 0 {
		t.Fatal("no golden ratios")
	}
	for text, want := range ratios {
		var slots, hits int
		if _, err := fmt.Sscan(text, &slots); err != nil {
			t.Fatal(err)
		}
		for _, n := range y.distances[:min(slots, len(y.distances))] {
			hits += n
		}
		got := 1 - float64(hits)/float64(len(tr.Chosen))
		if diff := got - want; diff > 5e-5 || diff < -5e-5 {
			t.Errorf("%d slots: a miss ratio of %.6f, libCacheSim's is %.4f", slots, got, want)
		}
	}
}

func TestReuseAllocatesNothing(t *testing.T) {
	r, e := newReuse(64), 0
	if n := testing.AllocsPerRun(1000, func() { r.use(e % 64); e += 7 }); n != 0 {
		t.Errorf("%v allocations a use, want 0", n)
	}
}

func BenchmarkDescribe(b *testing.B) {
	const tokens, layers, topK, experts = 4096, 48, 8, 128
	t := &Trace{Layers: layers, Experts: experts, TopK: topK}
	for i := range tokens * layers * topK {
		t.Chosen = append(t.Chosen, int16((i*i/7+i%topK*16)%16+i%topK*16))
	}
	t.split(0)
	if err := t.validate(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		t.Describe()
	}
	b.ReportMetric(float64(b.N)*float64(len(t.Chosen))/b.Elapsed().Seconds()/1e6, "Maccess/s")
}
