package report

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ufm/bench"
	"ufm/bench/sweep"
	"ufm/internal/hardware"
	"ufm/moe"
)

// newFolder is a folder of results of some presets, with figures that no two rows share.
func newFolder(t *testing.T, presets ...string) string {
	t.Helper()
	plan, err := sweep.Load(presets, sweep.Traces{})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	env := sweep.Environment{
		RunID: "20260102T030405-0abc", Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Machine: sweep.Machine{
			Backend: "vulkan", Device: moe.Device{Name: "Card 7", Driver: "580.1", MemBytes: 141 << 30},
			Ceilings: hardware.Ceilings{
				ReadGBs: 4567.8, LinkGBs: 54.3, F32TFlops: 55.5, Timing: &hardware.Timing{Copies: hardware.ByQueues},
			},
			Cards: []sweep.Card{{Name: "Card 7", LinkGen: new(5), PowerW: new(77.7)}},
		},
	}
	rng := rand.New(rand.NewPCG(1, 1))
	var rows []bench.Row
	samples, err := os.Create(filepath.Join(dir, sweep.SamplesFile))
	if err != nil {
		t.Fatal(err)
	}
	defer samples.Close()
	for i, c := range plan.Cells {
		r := newRow(rng, c)
		rows = append(rows, r)
		if r.StepMsMedian != nil {
			err = json.NewEncoder(samples).Encode(sweep.Sample{Cell: i, StepMs: around(rng, *r.StepMsMedian)})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	writeJSON(t, filepath.Join(dir, sweep.PlanFile), plan)
	writeJSON(t, filepath.Join(dir, sweep.EnvironmentFile), env)
	writeRows(t, dir, rows)
	return dir
}

// around are twenty values near a median.
func around(rng *rand.Rand, median float64) []float64 {
	values := make([]float64, 20)
	for i := range values {
		values[i] = median * (0.99 + 0.02*rng.Float64())
	}
	return values
}

// newRow is what a cell may have come to.
func newRow(rng *rand.Rand, c sweep.Cell) bench.Row {
	bank := int64(c.Layers) * int64(c.Experts) * int64(c.DModel) * int64(c.DHidden) * 8
	ms, misses := 1+100*rng.Float64(), 1+rng.Int64N(1e5)
	r := bench.Row{
		Schema: bench.RowSchema, RunID: "20260102T030405-0abc", Mode: c.Mode, Backend: "vulkan",
		Device: "Card 7", Driver: "580.1", Status: bench.StatusOK, Model: "synthetic",
		Layers: c.Layers, Experts: c.Experts, DModel: c.DModel, DHidden: c.DHidden, TopK: c.TopK,
		Form: c.Form, DType: c.DType, Routing: c.Routing, Tokens: c.Tokens, Seed: c.Seed,
		Phase: "prefill", BankBytes: bank, BudgetBytes: bank / (1 + rng.Int64N(20)),
		Slots: 1 + rng.IntN(c.Experts), Kind: bench.Measured,
	}
	if c.Preset == "policy" || c.Preset == "routing" {
		r.BudgetBytes = bank / 5
	}
	if c.Mode == "baseline" {
		r.Slots = c.Layers * c.Experts
	}
	if c.Mode == "ufm" {
		r.Policy = &c.Policy
	}
	if c.Mode == "baseline" && c.Experts == 192 {
		r.Status, r.Error = bench.StatusOOM, new("out of device memory: 96 MiB, 94 MiB are free")
		return r
	}
	r.StepMsMedian, r.StepMsP10, r.StepMsP90 = new(ms), new(ms*0.9), new(ms*1.2)
	r.StepMsMean = new(ms * 1.01)
	r.TokensPerS = new(float64(c.Tokens) * 1000 / ms)
	r.Hits, r.Misses, r.Uploads = new(rng.Int64N(1e6)), new(misses), new(misses)
	r.BeladyUploads = new(rng.Int64N(misses))
	r.ComputeMs, r.UploadMs, r.StallMs = new(ms*0.5), new(ms*0.7), new(ms*0.3)
	r.LimitMs, r.LimitBy = new(ms*0.4), new([]string{"memory", "compute", "link"}[rng.IntN(3)])
	r.LimitFraction, r.LinkFraction, r.ChainMs = new(0.4), new(rng.Float64()), new(ms*0.41)
	r.PeakDeviceBytes, r.Steps = new(r.BudgetBytes+1<<20), new(20)
	return r
}

func writeJSON(t *testing.T, path string, v any) {
	t.Helper()
	text, err := json.Marshal(v)
	if err == nil {
		err = os.WriteFile(path, text, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func writeRows(t *testing.T, dir string, rows []bench.Row) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, sweep.RowsFile))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := bench.Write(f, "jsonl", rows); err != nil {
		t.Fatal(err)
	}
}
