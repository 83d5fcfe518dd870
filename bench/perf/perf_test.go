package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ufm/bench"
)

// TestTable runs stand-ins for the peers: shell scripts that know one case each.
func TestTable(t *testing.T) {
	dir := t.TempDir()
	torch := script(t, dir, "torch", `case "$*" in
*"--experts 96 --modes baseline"*"--dtype float32"*) echo '{"gpu":"a card"}'; echo '{"ms_step": 20}';;
*) echo '{"tok_s": "OOM"}';; esac`)
	ggml := script(t, dir, "ggml", `[ "$*" = "lib 0 2048 8192 96 2 512" ] || exit 3; echo '{"ms_step": 6}'`)
	t.Setenv("UFM_PEER_TORCH", "sh "+torch)
	t.Setenv("UFM_PEER_GGML", "sh "+ggml+" lib")
	var rows []bench.Row
	for _, r := range []struct {
		mode, form string
		experts    int
	}{{"baseline", "gelu", 96}, {"ufm", "gelu", 192}, {"baseline", "gelu", 144}, {"baseline", "swiglu", 96}} {
		ms := 4.0
		rows = append(rows, bench.Row{
			Mode: r.mode, Form: r.form, Layers: 1, Experts: r.experts, DModel: 2048, DHidden: 8192,
			DType: "f32", TopK: 2, Tokens: 512, StepMsMedian: &ms, Status: bench.StatusOK,
		})
	}
	var lines, out bytes.Buffer
	if err := bench.Write(&lines, "jsonl", rows); err != nil {
		t.Fatal(err)
	}
	script(t, dir, "rows.jsonl", lines.String())
	if err := run(t.Context(), &out, dir); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{
		"│ 20 │ 6 │ 4.00 │ - │ 1.50 │", "│ out of memory │ - │ 4.00 │ - │ - │",
		"│ out of memory │ failed: exit status 3 │ 4.00 │", "│ - │ - │ 4.00 │ - │ - │",
	} {
		line := strings.Split(out.String(), "\n")[3+i]
		if got := strings.Join(strings.Fields(line), " "); !strings.Contains(got, want) {
			t.Errorf("line %d: got %s, want %s in it", i, got, want)
		}
	}
	if err := run(t.Context(), &out, t.TempDir()); err == nil {
		t.Error("a folder without rows: no error")
	}
}

func script(t *testing.T, dir, name, text string) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}
