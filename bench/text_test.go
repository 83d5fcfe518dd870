package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"ufm/internal/hardware"
	"ufm/moe"
	"ufm/moe/generate"
	"ufm/moe/tiny"
)

func openTinyText(t *testing.T) moe.TextModel {
	t.Helper()
	m, err := moe.OpenText(tiny.FS(), tiny.Name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func textCPU(limit int64) moe.TextBackend {
	return moe.NewCPU(moe.CPUOptions{MemoryLimit: limit}).(moe.TextBackend)
}

// TestRunText measures the trained checkpoint with another top-k and a routing of its
// own, and adds the account up again.
func TestRunText(t *testing.T) {
	m := WithTopK(openTinyText(t), 3)
	routing, err := moe.ParseRouting("zipf:1", m.Shape(), 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &countingBackend{TextBackend: textCPU(0)}
	rows, err := RunText(t.Context(), b, TextSpec{
		Model: m, Routing: routing, Budgets: []Budget{{Percent: 25}, {Percent: 100}},
		Prefetch: generate.PrefetchOff, PromptTokens: 50, MaxTokens: 9, Chunk: 20, Seed: 3,
		Ceilings: hardware.Ceilings{ReadGBs: 10, LinkGBs: 1, F32TFlops: 0.1},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 4 || b.banks != 1 {
		t.Fatalf("got %d rows from %d banks, want 4 from one", len(rows), b.banks)
	}
	for i, r := range rows {
		if r.Status != StatusOK {
			t.Fatalf("row %d: %s: %s", i, r.Status, *r.Error)
		}
		checkTextRow(t, r, i)
	}
	if *rows[3].Misses != 0 || *rows[3].BytesPerToken != 0 || *rows[3].BeladyUploads != 0 {
		t.Errorf("with all experts resident: %d misses, %v bytes a token, %d needed",
			*rows[3].Misses, *rows[3].BytesPerToken, *rows[3].BeladyUploads)
	}
}

func checkTextRow(t *testing.T, r TextRow, i int) {
	t.Helper()
	phase, tokens, steps, routing := "prefill", 50, 4, "router" // 20, 20, 6, 4
	if i%2 == 1 {
		phase, tokens, steps, routing = "decode", 8, 8, "zipf:1"
	}
	if r.Phase != phase || r.Tokens != tokens || *r.Steps != steps || r.Routing != routing || r.TopK != 3 {
		t.Errorf("row %d: got %s of %d tokens in %d steps, %s top-%d, want %s of %d in %d, %s top-3",
			i, r.Phase, r.Tokens, *r.Steps, r.Routing, r.TopK, phase, tokens, steps, routing)
	}
	if phase == "decode" && *r.Hits+*r.Misses != 8*4*3 {
		t.Errorf("row %d: %d hits and %d misses, want 96 in all", i, *r.Hits, *r.Misses)
	}
	if *r.BeladyUploads > *r.Misses {
		t.Errorf("row %d: the best policy uploads %d, this one %d", i, *r.BeladyUploads, *r.Misses)
	}
	if *r.ChainMs < *r.LimitMs*(1-1e-9) || *r.LimitMs <= 0 {
		t.Errorf("row %d: chain %v ms, limit %v ms", i, *r.ChainMs, *r.LimitMs)
	}
	// A decoded token reads the dense weights and 12 experts of 24 KiB.
	if read := float64(r.DenseBytes+12*24576) / 10e6; phase == "decode" && *r.LimitMs < read*0.999 {
		t.Errorf("row %d: limit %v ms, reading alone takes %v", i, *r.LimitMs, read)
	}
	if sum := *r.StepMsMean * float64(*r.Steps) / 1e3; *r.TokensPerS < 0.99*float64(tokens)/sum {
		t.Errorf("row %d: %v tokens/s, %d in %v s", i, *r.TokensPerS, tokens, sum)
	}
}

type countingBackend struct {
	moe.TextBackend
	banks int
}

func (b *countingBackend) NewBank(ctx context.Context, m moe.Model, p func(int64)) (moe.Bank, error) {
	b.banks++
	return b.TextBackend.NewBank(ctx, m, p)
}

func TestRunTextWithoutMemory(t *testing.T) {
	rows, err := RunText(t.Context(), textCPU(4<<20), TextSpec{
		Model: openTinyText(t), Budgets: []Budget{{Percent: 100}, {Percent: 5}},
		PromptTokens: 4, MaxTokens: 3,
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []Status{StatusOOM, StatusOOM, StatusOK, StatusOK}
	for i, r := range rows {
		if r.Status != want[i] {
			t.Errorf("row %d: got %s, want %s", i, r.Status, want[i])
		}
	}
	if text := *rows[0].Error; !strings.Contains(text, "KV cache") || !strings.Contains(text, "6.0 MiB") {
		t.Errorf("got %q, want the memory table and what 256 slots take", text)
	}
}

func TestRunTextRefusesBadSpecs(t *testing.T) {
	m := openTinyText(t)
	for name, s := range map[string]TextSpec{
		"no budget": {Model: m, PromptTokens: 1, MaxTokens: 2},
		"prompt of": {Model: m, Budgets: []Budget{{}}, MaxTokens: 2},
		"answer of": {Model: m, Budgets: []Budget{{}}, PromptTokens: 1, MaxTokens: 1},
	} {
		if _, err := RunText(t.Context(), textCPU(0), s, nil); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want an error with %q", err, name)
		}
	}
}

func TestWriteText(t *testing.T) {
	rows := []TextRow{{Row: Row{Phase: "decode", Slots: 7, Status: StatusOOM}, DenseBytes: 5}}
	for format, want := range map[string]string{
		"json": `"dense_bytes": 5`, "jsonl": `"slots":7`, "table": "oom",
	} {
		var b bytes.Buffer
		if err := WriteText(&b, format, rows); err != nil || !strings.Contains(b.String(), want) {
			t.Errorf("%s: got %s, %v, want it to have %s", format, b.String(), err, want)
		}
		var back []TextRow
		if format == "json" {
			if err := json.Unmarshal(b.Bytes(), &back); err != nil || back[0].Slots != 7 || back[0].DenseBytes != 5 {
				t.Errorf("got %+v, %v back", back, err)
			}
		}
	}
	if err := WriteText(&bytes.Buffer{}, "csv", rows); err == nil {
		t.Error("an unknown format is accepted")
	}
}

func TestPlanMemory(t *testing.T) {
	m := openTinyText(t)
	plan := func(limit int64, context int, budget Budget) (MemoryPlan, error) {
		b := textCPU(limit)
		cfg, err := generate.Options{Context: context}.Config(m)
		if err != nil {
			t.Fatal(err)
		}
		return PlanMemory(b, m, cfg, budget, limit)
	}
	p, err := plan(8<<20, 64, Budget{})
	if err != nil {
		t.Fatal(err)
	}
	sum := int64(p.Slots) * p.ExpertBytes
	for _, part := range p.Parts {
		sum += part.Bytes
	}
	if sum > 8<<20 || sum+p.ExpertBytes <= 8<<20 && p.Slots < p.Experts {
		t.Errorf("an automatic budget leaves %d bytes: %v", 8<<20-sum, p.Lines())
	}
	var short *MemoryError
	if _, err := plan(3<<20, 2048, Budget{}); !errors.As(err, &short) || !strings.Contains(err.Error(), "KV cache") {
		t.Errorf("a context that leaves no slot: got %v, want the table", err)
	}
	if _, err := plan(8<<20, 64, Budget{Percent: 100}); !errors.As(err, &short) || short.Plan.Slots != 256 {
		t.Errorf("a budget beyond the device: got %v, want the table", err)
	}
	if p, err := plan(8<<20, 64, Budget{Bytes: 1 << 20}); err != nil || p.Slots != 42 {
		t.Errorf("got %d slots, %v, want 42 of 24 KiB in 1 MiB", p.Slots, err)
	}
}
