package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ufm/bench"
)

// The stand-ins are shell scripts that print what the real programs print of one case each,
// and know only their command lines.
const (
	torchScript = `case "$*" in
"--experts 96 --modes baseline --dm 2048 --dh 8192 --tokens 512 --topk 2 --dtype float32 --budget-gb 12.0625 --cap-gb 23.5")
	echo '{"gpu": "NVIDIA H100 80GB HBM3", "torch": "2.9.1+cu128"}'
	echo '{"experts": 96, "mode": "baseline", "bank_gb": 12.0, "tok_s": 26459.5, "ms_step": 19.35, "steps": 50, "peak_gb": 12.23, "hits": 0, "misses": 0, "dtype": "float32", "topk": 2, "zipf": 0.0}';;
"--experts 192 --modes overlap --dm 2048 --dh 8192 --tokens 512 --topk 2 --dtype float32 --budget-gb 16.0625 --cap-gb 23.5")
	echo '{"gpu": "NVIDIA H100 80GB HBM3", "torch": "2.9.1+cu128"}'
	echo '{"experts": 192, "mode": "overlap", "bank_gb": 24.0, "tok_s": 2980.1, "ms_step": 171.81, "steps": 18, "peak_gb": 16.31, "hits": 2314, "misses": 1142, "dtype": "float32", "topk": 2, "zipf": 0.0}';;
*"--modes ufm"*)
	echo '{"gpu": "NVIDIA H100 80GB HBM3", "torch": "2.9.1+cu128"}'
	echo 'Traceback (most recent call last):' >&2
	exit 1;;
*)
	echo '{"gpu": "NVIDIA H100 80GB HBM3", "torch": "2.9.1+cu128"}'
	echo '{"experts": 192, "mode": "baseline", "bank_gb": 24.0, "tok_s": "OOM", "dtype": "float32"}';;
esac`
	ggmlScript = `case "$*" in
"lib 0 2048 8192 96 2 512")
	echo '{"peer":"ggml-vulkan","type":0,"experts":96,"active":96,"topk":2,"tokens":512,"ms_step":5.780,"tok_s":88581.3,"weight_gb_s":2228.0,"tflops":11.90}';;
"lib 0 2048 8192 192 2 512")
	echo '{"peer":"ggml","type":0,"experts":192,"tok_s":"OOM"}';;
*) exit 3;; esac`
)

func TestTable(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("UFM_PEER_TORCH", "sh "+write(t, dir, "torch", torchScript))
	t.Setenv("UFM_PEER_GGML", "sh "+write(t, dir, "ggml", ggmlScript)+" lib")
	const expert = 128 << 20
	var rows []bench.Row
	plan := `{"cells": [`
	for i, r := range []struct {
		mode, form, routing string
		experts, slots      int64
	}{
		{"baseline", "gelu", "uniform", 96, 96}, {"ufm", "gelu", "uniform", 192, 128},
		{"published", "gelu", "uniform", 144, 128}, {"baseline", "gelu", "uniform", 192, 192},
		{"baseline", "swiglu", "uniform", 96, 96}, {"baseline", "gelu", "zipf:1", 96, 96},
	} {
		ms := 4.0
		rows = append(rows, bench.Row{
			Schema: bench.RowSchema, Mode: r.mode, Form: r.form, Layers: 1, Experts: int(r.experts),
			DModel: 2048, DHidden: 8192, DType: "f32", TopK: 2, Tokens: 512, StepMsMedian: &ms,
			Status: bench.StatusOK, Routing: r.routing, BankBytes: r.experts * expert, BudgetBytes: r.slots * expert,
		})
		plan += strings.Repeat(",", min(i, 1)) + `{"vram_limit": "23.5GiB", "limit": "1m"}`
	}
	write(t, dir, "plan.json", plan+"]}")
	var lines, out bytes.Buffer
	if err := bench.Write(&lines, "jsonl", rows); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "rows.jsonl", lines.String())
	if err := run(t.Context(), &out, dir); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{
		"│ 19.35 │ 5.78 │ 4.00 │ - │ 1.45 │", "│ 171.8 │ - │ 4.00 │ - │ 42.95 │",
		"│ failed: exit status 1 │ - │ 4.00 │ - │ - │", "│ out of memory │ out of memory │ 4.00 │ - │ - │",
		"│ - │ - │ 4.00 │ - │ - │", "│ - │ - │ 4.00 │ - │ - │",
	} {
		line := strings.Split(out.String(), "\n")[3+i]
		if got := strings.Join(strings.Fields(line), " "); !strings.Contains(got, want) {
			t.Errorf("line %d: got %s, want %s in it", i, got, want)
		}
	}
	record, err := os.ReadFile(filepath.Join(dir, recordFile))
	if err != nil || bytes.Count(record, []byte("\n")) != 9 ||
		!bytes.Contains(record, []byte(`{"row":1,"peer":"torch","said":{"experts":192,"mode":"overlap"`)) {
		t.Errorf("record (%v):\n%s", err, record)
	}
	if err := run(t.Context(), &out, t.TempDir()); err == nil {
		t.Error("a folder without rows: no error")
	}
}

// Without a plan a peer may take all memory.
func TestNoLimit(t *testing.T) {
	words := strings.Join(torchPeer.arguments(testCase{Row: bench.Row{Mode: "naive", DType: "bf16"}}), " ")
	if !strings.Contains(words, "--modes naive") || !strings.Contains(words, "--dtype bfloat16") ||
		!strings.HasSuffix(words, "--cap-gb 1024") {
		t.Errorf("got %s", words)
	}
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}
